"""ONNX graphs as workloads: every node by its shape, with the `onnx` package's shape inference."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chipmeter.workloads.graph import operations
from chipmeter.workloads.ops import Gemm, Op, Pointwise
from chipmeter.workloads.workload import Workload

FREE = frozenset(
    ("Constant", "ConstantOfShape", "Shape", "Reshape", "Squeeze", "Unsqueeze", "Identity", "Flatten", "Cast", "Range")
)
"""Nodes that move nothing: views, constants, and casts that fuse into their neighbours."""


def read_onnx(path: str | os.PathLike[str], sizes: Mapping[str, int] | None = None) -> Workload:
    """Read an ONNX graph as the operations of one run.

    Products (MatMul, Gemm, Conv) count as GEMMs, a convolution as its implicit one; a product of two activations runs as
    one group per matrix. Anything else moves its inputs and outputs once.

    Parameters
    ----------
    path : path
    sizes : mapping of str to int, optional
        Of named free dimensions; 1 for those not given.

    Raises
    ------
    ImportError
        Without the `onnx` package.
    ValueError
        If the file is no ONNX graph, or a shape cannot be inferred.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise ImportError("ONNX graphs need the onnx package: pip install 'chipmeter[onnx]'") from error
    where = Path(path)
    try:
        model = onnx.load(str(where), load_external_data=False)
    except DecodeError as error:
        raise ValueError(f"{where}: not an ONNX graph: {error}") from None
    _settle(model.graph, dict(sizes or {}))
    try:
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except onnx.shape_inference.InferenceError as error:
        raise ValueError(f"{where}: shapes contradict each other: {error}") from None
    known = {value.name: _shape(value) for value in (*graph.input, *graph.output, *graph.value_info)}
    held = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    known |= held
    ops = [op for number, node in enumerate(graph.node, 1) for op in _ops(node, known, held, f"{number}: {where}")]
    return operations(ops, where.stem, weights=float(sum(math.prod(dims) for dims in held.values())))


def _settle(graph: Any, sizes: dict[str, int]) -> None:
    """Give every free dimension of the inputs a size."""
    for value in graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if not dim.HasField("dim_value"):
                name = dim.dim_param
                dim.Clear()
                dim.dim_value = sizes.get(name, 1)


def _shape(value: Any) -> tuple[int, ...] | None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    dims = tuple(dim.dim_value for dim in tensor.shape.dim)
    return dims if all(dim > 0 for dim in dims) else None


def _ops(node: Any, known: Mapping[str, tuple[int, ...] | None], held: Mapping[str, Any], where: str) -> list[Op]:
    kind, name = node.op_type, f"{where.split(':')[0]}: {node.op_type} {node.name}".strip()
    if kind in FREE:
        return []

    def shape(tensor: str) -> tuple[int, ...]:
        found = known.get(tensor)
        if found is None:
            raise ValueError(
                f"{where.split(': ')[1]}: the shape of {tensor!r}, of {kind} {node.name!r}, cannot be inferred"
            )
        return found

    if kind in ("MatMul", "Gemm", "Conv", "MatMulInteger", "QLinearMatMul"):
        return [_product(node, kind, shape, held, name)]
    outputs = [shape(tensor) for tensor in node.output if tensor]
    moved = sum(math.prod(known.get(tensor) or ()) for tensor in node.input if tensor and tensor not in held)
    written = sum(math.prod(dims) for dims in outputs)
    return [Pointwise(tokens=1, width=max(written, 1), name=name, reads=moved / max(written, 1), writes=1)]


def _product(node: Any, kind: str, shape: Any, held: Mapping[str, Any], name: str) -> Gemm:
    if kind == "Conv":
        weight, out = shape(node.input[1]), shape(node.output[0])
        pixels = out[0] * math.prod(out[2:])
        groups = next((a.i for a in node.attribute if a.name == "group"), 1)
        inner = math.prod(weight[1:])
        return Gemm(pixels * groups, weight[0] // groups, inner, name=name, groups=groups)
    first, second, out = (
        shape(node.input[0]),
        shape(node.input[1 if kind != "QLinearMatMul" else 3]),
        shape(node.output[0]),
    )
    if kind == "Gemm":
        flipped = {a.name: a.i for a in node.attribute if a.name in ("transA", "transB")}
        inner = first[0] if flipped.get("transA") else first[1]
        return Gemm(out[0], out[1], inner, name=name)
    inner, columns = first[-1], second[-1] if len(second) > 1 else 1
    matrices = math.prod(second[:-2]) if len(second) > 2 else 1
    rows = max(1, math.prod(out) // columns)
    return Gemm(rows, columns, inner, name=name, groups=matrices)
