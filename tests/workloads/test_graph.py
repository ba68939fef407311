"""Lists of GEMMs and ONNX graphs become operations with the FLOPs of their shapes; broken files give one clear error."""

from pathlib import Path

import pytest

from chipmeter.cost import estimate
from chipmeter.workloads import Gemm, operations, read_gemms


def test_rows_become_products(tmp_path: Path) -> None:
    path = tmp_path / "layers.csv"
    path.write_text("name,M,n,k,count\nup,128,512,256,3\n,1,64,32,\n")
    step = read_gemms(path)
    assert [(op.m, op.n, op.k, op.count, op.name) for op in step.ops if isinstance(op, Gemm)] == [
        (128, 512, 256, 3, "1: up"),
        (1, 64, 32, 1, "2: 1 x 64 x 32"),
    ]
    assert step.flops == 2 * (3 * 128 * 512 * 256 + 64 * 32)
    e = estimate(str(path), "h100")
    assert (e.unit, e.units, e.phase, e.model) == ("run", 1, "run", "layers")
    assert e.memory.weights == 2 * (3 * 512 * 256 + 64 * 32)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("m,n\n1,2\n", "no column k; needed: m, n, k"),
        ("m,n,k\n1,-2,3\n", "list.csv:2: n must be an integer from 1 to 67108864, got '-2'"),
        ("m,n,k\n1,2,x\n", "k must be an integer"),
        ("m,n,k\n1,2\n", "k must be an integer from 1 to 67108864, got ''"),
        ("m,n,k\n", "no operations to time"),
    ],
)
def test_broken_lists(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=problem):
        estimate(path, "h100")


def test_operations_have_no_heads_to_share() -> None:
    with pytest.raises(ValueError, match="tensor_parallel must divide the 1 heads of one"):
        estimate(operations([Gemm(8, 8, 8)], "one"), "h100", tensor_parallel=2)


def test_onnx_graph(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="ONNX graphs need the onnx package")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Reshape", ["r", "shape"], ["f"]),
        helper.make_node("MatMul", ["f", "head"], ["y"]),
        helper.make_node("Transpose", ["f"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["f", "t"], ["z"]),
    ]
    weights = [
        helper.make_tensor("w", kind, [8, 3, 3, 3], [0.0] * 216),
        helper.make_tensor("head", kind, [64, 10], [0.0] * 640),
        helper.make_tensor("shape", onnx.TensorProto.INT64, [3], [2, 8, 64]),
    ]
    x = helper.make_tensor_value_info("x", kind, [2, 3, 8, 8])
    outputs = [helper.make_tensor_value_info(name, kind, None) for name in ("y", "z")]
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "net", [x], outputs, weights)), str(path))
    e = estimate(path, "h100")
    conv, head, scores = 2 * 128 * 8 * 27, 2 * 16 * 10 * 64, 2 * 2 * 8 * 8 * 64
    assert e.flops == conv + head + scores
    assert [op.name.split()[1] for op in e.ops] == ["Conv", "Relu", "MatMul", "Transpose", "MatMul"]
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    with pytest.raises(ValueError, match=r"not an ONNX graph|no operations"):
        estimate(tmp_path / "bad.onnx", "h100")


def test_onnx_graphs_say_what_they_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'chipmeter\[onnx\]'"):
        estimate(tmp_path / "net.onnx", "h100")
