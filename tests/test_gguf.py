"""GGUF tensors dequantise to the recorded bits of gguf-py, and files that lie are refused in words."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chipmeter._gguf_blocks import TYPES
from chipmeter.gguf import GgufFile

NUMBER = {t.name: n for n, t in TYPES.items()}
GOLDEN = Path(__file__).parents[2] / "shared" / "golden" / "quantisation" / "gguf.npz"


def text(s: str | bytes) -> bytes:
    raw = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<Q", len(raw)) + raw


def tensor(name: str, dims: tuple[int, ...], kind: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)


def gguf(keys: list[bytes], tensors: list[bytes], data: bytes = b"", counts: tuple[int, int] | None = None) -> bytes:
    n, k = counts or (len(tensors), len(keys))
    head = b"GGUF" + struct.pack("<IQQ", 3, n, k) + b"".join(keys) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + data


def write(path: Path, raw: bytes) -> Path:
    path.unlink(missing_ok=True)
    path.write_bytes(raw)
    return path


def decoded(path: Path, kind: str, blocks: np.ndarray[Any, Any], columns: int) -> np.ndarray[Any, Any]:
    raw = gguf([], [tensor("t", (columns, len(blocks)), NUMBER[kind], 0)], blocks.tobytes())
    return GgufFile(write(path / "a.gguf", raw))["t"]


def slow(kind: str, b: bytes) -> list[float]:
    """One block by the book, in exact arithmetic rounded to float32 after each operation."""
    f = np.float32
    half = [f(np.frombuffer(b[i : i + 2], "<f2")[0]) for i in (0, 2)]
    at = {"Q8_0": 2, "Q4_0": 2, "Q4_1": 4, "Q5_0": 6, "Q5_1": 8, "MXFP4": 1}[kind]
    high = int.from_bytes(b[at - 4 : at], "little") if kind[1] == "5" else 0
    out = []
    for i in range(32):
        if kind == "Q8_0":
            out.append(f(np.int8(np.uint8(b[at + i]))) * half[0])
            continue
        code = b[at + i % 16] >> (4 * (i // 16)) & 15 | (high >> i & 1) << 4
        if kind == "MXFP4":
            value = f([0, 0.5, 1, 1.5, 2, 3, 4, 6][code & 7]) * f(-1 if code > 8 else 1)
            out.append(f(np.float64(value) * 2.0 ** (b[0] - 127)))
        elif kind[-1] == "0":
            out.append(f(code - (8 if kind[1] == "4" else 16)) * half[0])
        else:
            out.append(f(code) * half[0] + half[1])
    return out


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "MXFP4"])
def test_blocks_decode_by_the_book(tmp_path: Path, kind: str) -> None:
    size = TYPES[NUMBER[kind]].nbytes
    blocks = np.random.default_rng(1).integers(0, 256, (40, size), np.uint8)
    if kind != "MXFP4":
        blocks[:, 1] &= 0xBF  # finite scales
        blocks[:, 3] &= 0xBF
    with np.errstate(over="ignore"):
        want = np.float32([slow(kind, b.tobytes()) for b in blocks])
    np.testing.assert_array_equal(decoded(tmp_path, kind, blocks, 32).view(np.uint32), want.view(np.uint32))


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "MXFP4", "BF16"])
@pytest.mark.skipif(not GOLDEN.exists(), reason="the recordings are not beside the repository")
def test_recorded_bits(tmp_path: Path, kind: str) -> None:
    with np.load(GOLDEN) as golden:
        blocks, want = golden[f"{kind}/q"], golden[f"{kind}/dq"]
    np.testing.assert_array_equal(decoded(tmp_path, kind, blocks, 256).view(np.uint32), want)


def test_plain_types_shapes_and_metadata(tmp_path: Path) -> None:
    keys = [
        text("a") + struct.pack("<Ii", 5, -3),
        text("b") + struct.pack("<I", 8) + text("words"),
        text("c") + struct.pack("<IIQ3f", 9, 6, 3, 1, 2, 3),
        text("d") + struct.pack("<IIQ", 9, 8, 2) + text("x") + text("y"),
        text("e") + struct.pack("<I?", 7, True),
    ]
    x = np.arange(6, dtype=np.float32)
    tensors = [tensor("f", (3, 2), 0, 0), tensor("h", (6,), 1, 32), tensor("odd", (256,), 12, 64)]
    file = GgufFile(
        write(tmp_path / "a.gguf", gguf(keys, tensors, x.tobytes() + bytes(8) + x.astype("f2").tobytes() + bytes(20)))
    )
    assert dict(file.metadata) == {"a": -3, "b": "words", "c": [1, 2, 3], "d": ["x", "y"], "e": True}
    assert file["f"].tolist() == x.reshape(2, 3).tolist()
    assert file["h"].tolist() == x.tolist()
    assert list(file) == ["f", "h", "odd"]
    assert repr(file).endswith("version 3, 3 tensors)")
    with pytest.raises(ValueError, match="'odd': found type 12; accepted: F32, "):
        file["odd"]
    with pytest.raises(ValueError, match="unknown tensor 'g'"):
        file["g"]


U64 = 2**64 - 1
HOSTILE = {
    "empty": (b"", "found 0 bytes"),
    "not GGUF": (b"GGML" + bytes(20), "found magic b'GGML'"),
    "big endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "little endian"),
    "tensor count": (gguf([], [], counts=(U64, 0)), "found 18446744073709551615 tensors"),
    "key count": (gguf([], [], counts=(0, U64)), "found 18446744073709551615 metadata keys"),
    "one key too many": (gguf([], [], bytes(64), counts=(0, 2)), "twice|has the unknown|takes"),
    "huge key": (gguf([struct.pack("<Q", U64)], [], bytes(64)), "a metadata key has .* at most 65535"),
    "huge string": (gguf([text("k") + struct.pack("<IQ", 8, 2**62)], [], bytes(64)), "'k' takes 4611686018427387904 bytes"),
    "huge array": (gguf([text("k") + struct.pack("<IIQ", 9, 4, U64)], [], bytes(64)), "more than the file has room"),
    "deep array": (gguf([text("k") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 50], []), "nest at most 4 deep"),
    "unknown type": (gguf([text("k") + struct.pack("<I", 13)], [], bytes(64)), "'k' has the unknown type 13"),
    "bool of 2": (gguf([text("k") + struct.pack("<IB", 7, 2)], [], bytes(64)), "boolean of value 2"),
    "key twice": (gguf([text("k") + struct.pack("<IB", 0, 2)] * 2, [], bytes(64)), "the key 'k' twice"),
    "bad UTF-8": (gguf([text(b"\xff") + struct.pack("<IB", 0, 2)], [], bytes(64)), "not UTF-8"),
    "alignment 0": (gguf([text("general.alignment") + struct.pack("<II", 4, 0)], []), "alignment is 0"),
    "alignment text": (gguf([text("general.alignment") + struct.pack("<I", 8) + text("x")], []), "alignment is 'x'"),
    "axes": (gguf([], [tensor("t", (1,) * 5, 0, 0)], bytes(64)), "found 5 axes; accepted: at most 4"),
    "axes of 2**32-1": (gguf([], [text("t") + struct.pack("<I", 2**32 - 1)], bytes(64)), "found 4294967295 axes"),
    "overflow": (gguf([], [tensor("t", (2**40, 2**40), 0, 0)], bytes(64)), "fewer than 2\\*\\*60"),
    "overflow beside 0": (gguf([], [tensor("t", (0, 2**40, 2**40), 0, 0)], bytes(64)), "fewer than 2\\*\\*60"),
    "past the end": (gguf([], [tensor("t", (64,), 0, 0)], bytes(64)), "'t': found bytes .*; accepted: up to"),
    "offset past the end": (gguf([], [tensor("t", (1,), 0, 2**63)], bytes(64)), "'t': found bytes"),
    "offset of an unknown type": (gguf([], [tensor("t", (1,), 99, 2**63)], bytes(64)), "'t': found bytes"),
    "misaligned": (gguf([], [tensor("t", (1,), 0, 4)], bytes(64)), "found offset 4; accepted: a multiple of 32"),
    "half a block": (gguf([], [tensor("t", (33, 32), 8, 0)], bytes(4096)), "rows of a multiple of 32"),
    "overlap": (gguf([], [tensor("a", (16,), 0, 0), tensor("b", (1,), 0, 32)], bytes(64)), "'b': found over the bytes of 'a'"),
    "name twice": (gguf([], [tensor("a", (1,), 0, 0)] * 2, bytes(64)), "'a': found twice"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused(tmp_path: Path, case: str) -> None:
    raw, message = HOSTILE[case]
    path = write(tmp_path / "a.gguf", raw)
    with pytest.raises(ValueError, match=message) as caught:
        GgufFile(path)
    assert str(path) in str(caught.value)


GOOD = gguf(
    [text("k") + struct.pack("<IIQ", 9, 8, 1) + text("v"), text("n") + struct.pack("<II", 4, 7)],
    [tensor("a", (32, 2), 8, 0), tensor("b", (3,), 0, 96)],
    bytes(range(108)),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=4), st.integers(0, len(GOOD)))
def test_any_damage_is_refused_or_harmless(tmp_path: Path, changes: list[tuple[int, int]], kept: int) -> None:
    raw = bytearray(GOOD)
    for place, value in changes:
        raw[place] = value
    path = write(tmp_path / "a.gguf", bytes(raw[:kept]))
    refusal = str(path)
    try:
        file = GgufFile(path)
        assert all(file[name].size <= 4 * len(GOOD) for name in file)
    except ValueError as error:
        refusal = str(error)
    assert str(path) in refusal
