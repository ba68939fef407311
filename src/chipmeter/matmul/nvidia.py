"""NVIDIA tensor cores, Volta to Blackwell: parameters of the fused dot product by architecture and instruction.

Rules and parameters: MMA-Sim (Xie et al., arXiv:2511.10909, PyPI mmasim 2.1.1), Khattak and Mikaitis
(arXiv:2512.07004) and their recordings of V100 ... B200, mmaemu 0.1.0 and its recordings of an RTX 4060, PTX ISA.
"""

from __future__ import annotations

from collections.abc import Iterator

from chipmeter.evidence import Evidence
from chipmeter.matmul.models import BinaryDot, Chain, Directed, FusedDot, IntegerDot, Operation, Output, PairedHalves
from chipmeter.matmul.units import Unit

_DEVICES = Evidence(
    "hardware", "device outputs of Khattak & Mikaitis (MATLAB-tensor-core) and mmaemu 0.1.0", "2025/2026"
)
_MMASIM = Evidence("inferred", "MMA-Sim 2.1.1: its authors' randomised comparisons on the device", "2026-10")
_DISPUTED = Evidence(
    "inferred",
    "MMA-Sim 2.1.1 takes Turing's m8n8k4 to be Volta's, 23 bits; its first version and paper (arXiv:2511.10909v1) say 24",
    "2026-10",
)
_PTX = Evidence("documented", "PTX ISA: mma, wgmma, tcgen05 (.satfinite clamps, otherwise wraps)")
_POPC = Evidence(
    "documented",
    "PTX ISA: mma .b1 with .xor.popc (sm_75) and .and.popc (sm_80), wgmma .b1 with .and.popc; no .satfinite. CUTLASS issues "
    "the first up to sm_89, the second up to sm_90",
    "2026-11",
)
_IEEE = Evidence(
    "documented", "PTX ISA: precision of f64 mma is that of fma.rn.f64; order from Fasi et al., PeerJ CS 2021"
)

_DIRECTED = Evidence(
    "documented", "PTX ISA: mma .f64 takes .rz, .rm and .rp; that every multiply-add is rounded so is a reading of it"
)

_FP8 = ("e4m3", "e5m2")
_F8F6F4 = ("e5m2", "e4m3", "e3m2", "e2m3", "e2m1")


def _types(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple((a, b) for a in names for b in names)


_HALF, _BF16, _TF32 = (("f16", "f16"),), (("bf16", "bf16"),), (("tf32", "tf32"),)

# arch, family, (a, b) pairs, instruction K's, products per step, fraction bits, f32 output rule,
# floor exponent for f32 and for f16 results, the accumulator types that exist ("mixed": f16 in, f32 out)
_Row = tuple[str, str, tuple[tuple[str, str], ...], tuple[int, ...], int, int, Output, int, int, str]
_ROWS: tuple[_Row, ...] = (
    ("volta", "mma", _HALF, (4,), 4, 23, "rz-f32", -131, -19, "f32+f16+mixed"),
    ("turing", "mma", _HALF, (4,), 4, 23, "rz-f32", -131, -19, "f32+f16+mixed"),
    ("turing", "mma", _HALF, (8,), 8, 24, "rz-f32", -132, -20, "f32+f16"),
    ("ampere", "mma", _HALF, (8, 16), 8, 24, "rz-f32", -132, -20, "f32+f16"),
    ("ampere", "mma", _BF16, (8, 16), 8, 24, "rz-f32", -132, 0, "f32"),
    ("ampere", "mma", _TF32, (4, 8), 4, 24, "rz-f32", -132, 0, "f32"),
    ("ada", "mma", _HALF, (8, 16), 8, 24, "rz-f32", -132, -20, "f32+f16"),
    ("ada", "mma", _BF16, (8, 16), 8, 24, "rz-f32", -132, 0, "f32"),
    ("ada", "mma", _TF32, (4, 8), 4, 24, "rz-f32", -132, 0, "f32"),
    ("ada", "mma", _types(*_FP8), (16, 32), 16, 13, "rz-e8m13", -132, -20, "f32+f16"),
    ("hopper", "mma", _HALF, (8, 16), 16, 25, "rz-f32", -133, -21, "f32+f16"),
    ("hopper", "mma", _BF16, (8, 16), 16, 25, "rz-f32", -133, 0, "f32"),
    ("hopper", "mma", _TF32, (4, 8), 8, 25, "rz-f32", -133, 0, "f32"),
    ("hopper", "wgmma", _HALF, (16,), 16, 25, "rz-f32", -133, -21, "f32+f16"),
    ("hopper", "wgmma", _BF16, (16,), 16, 25, "rz-f32", -133, 0, "f32"),
    ("hopper", "wgmma", _TF32, (8,), 8, 25, "rz-f32", -133, 0, "f32"),
    ("hopper", "wgmma", _types(*_FP8), (32,), 32, 13, "rz-e8m13", -133, -21, "f32+f16"),
    ("blackwell", "mma", _HALF, (8, 16), 16, 25, "rz-f32", -133, -21, "f32+f16"),
    ("blackwell", "mma", _BF16, (8, 16), 16, 25, "rz-f32", -133, 0, "f32"),
    ("blackwell", "mma", _TF32, (4, 8), 8, 25, "rz-f32", -133, 0, "f32"),
    ("blackwell", "tcgen05", _HALF, (16,), 16, 25, "rz-f32", -133, -21, "f32+f16"),
    ("blackwell", "tcgen05", _BF16, (16,), 16, 25, "rz-f32", -133, 0, "f32"),
    ("blackwell", "tcgen05", _TF32, (8,), 8, 25, "rz-f32", -133, 0, "f32"),
    ("blackwell", "tcgen05", _types(*_F8F6F4), (32,), 32, 25, "rz-f32", -133, -21, "f32+f16"),
    ("rtx-blackwell", "mma", _HALF, (8, 16), 16, 25, "rz-f32", -133, -21, "f32+f16"),
    ("rtx-blackwell", "mma", _BF16, (8, 16), 16, 25, "rz-f32", -133, 0, "f32"),
    ("rtx-blackwell", "mma", _TF32, (4, 8), 8, 25, "rz-f32", -133, 0, "f32"),
    ("rtx-blackwell", "mma", _types(*_FP8), (16,), 32, 25, "rz-f32", -133, -21, "f32+f16"),
    ("rtx-blackwell", "mma", _types(*_F8F6F4), (32,), 32, 25, "rz-f32", -133, -21, "f32+f16"),
)  # fmt: skip


def _recorded(*rows: str) -> frozenset[tuple[str, str, str, str, str, int]]:
    """Spell out rows of "arch family k types": (arch, family, a, b, d, k)."""
    found = set()
    for row in rows:
        arch, family, k, *kinds = row.split()
        found |= {(arch, family, *kind.split("."), int(k)) for kind in kinds}
    return frozenset(found)  # type: ignore[arg-type]


_RECORDED = _recorded(
    "volta mma 4 f16.f16.f32 f16.f16.f16",
    "ampere mma 8 f16.f16.f32 f16.f16.f16 bf16.bf16.f32",
    "ampere mma 4 tf32.tf32.f32",
    "ada mma 8 f16.f16.f32 f16.f16.f16 bf16.bf16.f32",
    "ada mma 4 tf32.tf32.f32",
    "ada mma 16 e4m3.e4m3.f32 e4m3.e5m2.f32 e5m2.e4m3.f32 e5m2.e5m2.f32",
    "ada mma 32 e4m3.e4m3.f32 e4m3.e5m2.f32 e5m2.e4m3.f32 e5m2.e5m2.f32 e4m3.e4m3.f16 e5m2.e5m2.f16",
    "hopper mma 16 f16.f16.f32 f16.f16.f16 bf16.bf16.f32",
    "hopper mma 4 tf32.tf32.f32",
    "hopper wgmma 32 e4m3.e4m3.f32 e5m2.e5m2.f32",
    "blackwell mma 16 f16.f16.f32 f16.f16.f16 bf16.bf16.f32",
    "blackwell mma 4 tf32.tf32.f32",
)
"""Instructions whose outputs were recorded on a device and agree with the parameters, bit for bit."""


_F64_ROUNDINGS: tuple[tuple[str, Directed], ...] = (
    ("", "nearest-even"), ("-rz", "toward-zero"), ("-rm", "down"), ("-rp", "up"),
)  # fmt: skip
_BINARY: tuple[tuple[str, str, Operation], ...] = (
    ("turing", "mma", "xor"), ("ampere", "mma", "xor"), ("ampere", "mma", "and"), ("ada", "mma", "xor"), ("ada", "mma", "and"),
    ("hopper", "mma", "and"), ("hopper", "wgmma", "and"),
)  # fmt: skip


def _fused() -> Iterator[Unit]:
    for arch, family, pairs, depths, products, bits, output, floor, floor_f16, kinds in _ROWS:
        for a, b in pairs:
            for k in depths:
                # a shorter instruction gets a family of its own: its steps are shorter, so its bits may differ
                name = f"{arch}/{family}{'' if k == _longest(arch, family, a, b) else f'-k{k}'}.{a}.{b}"
                inferred = _DISPUTED if (arch, k) == ("turing", 4) else _MMASIM
                known = {d: _DEVICES if (arch, family, a, b, d, k) in _RECORDED else inferred for d in ("f32", "f16")}
                step = min(k, products)
                f32 = FusedDot(step, bits, output, floor)
                yield Unit(f"{name}.f32.f32", a, b, "f32", "f32", k, f32, known["f32"])
                if "f16" in kinds:
                    f16 = FusedDot(step, bits, "rne-f16", floor_f16)
                    yield Unit(f"{name}.f16.f16", a, b, "f16", "f16", k, f16, known["f16"])
                if "mixed" in kinds:
                    yield Unit(f"{name}.f16.f32", a, b, "f16", "f32", k, f32, inferred)


def _longest(arch: str, family: str, a: str, b: str) -> int:
    """Longest instruction of these operands: it takes the plain name."""
    return max(k for row in _ROWS if row[:2] == (arch, family) and (a, b) in row[2] for k in row[3])


def _paired() -> Iterator[Unit]:
    """FP8 mma.sync where the hardware has none: two f16 steps (H100, H200 and B200 recordings for the f16 results)."""
    pair_order = Evidence("inferred", "B200 recordings fit, as do other orders; pair order taken from the f16 case")
    for arch in ("hopper", "blackwell"):
        for a, b in _types(*_FP8):
            same = a == b
            yield Unit(
                f"{arch}/mma.{a}.{b}.f32.f32",
                a,
                b,
                "f32",
                "f32",
                32,
                PairedHalves(FusedDot(16, 25, "rz-f32", -133)),
                pair_order,
            )
            yield Unit(
                f"{arch}/mma.{a}.{b}.f16.f16", a, b, "f16", "f16", 32, PairedHalves(FusedDot(16, 25, "rne-f16", -21)),
                _DEVICES if same else pair_order,
            )  # fmt: skip


def _block_scaled() -> Iterator[Unit]:
    grouped = FusedDot(64, 35, "rz-f32", -139, group=16)
    for arch, family in (("blackwell", "tcgen05"), ("rtx-blackwell", "mma")):
        for a, b in _types(*_F8F6F4):
            model = FusedDot(32, 25, "rz-f32", -133)
            yield Unit(f"{arch}/{family}-mx.{a}.{b}.f32.f32", a, b, "f32", "f32", 32, model, _MMASIM, "ue8m0", 32)
        for name, scale, block in (("mxf4", "ue8m0", 32), ("mxf4-block16", "ue8m0", 16), ("nvf4", "ue4m3", 16)):
            yield Unit(
                f"{arch}/{family}-{name}.e2m1.e2m1.f32.f32",
                "e2m1",
                "e2m1",
                "f32",
                "f32",
                64,
                grouped,
                _MMASIM,
                scale,
                block,
            )


def _exact() -> Iterator[Unit]:
    for arch in ("ampere", "ada", "hopper", "blackwell", "rtx-blackwell"):
        k = 16 if arch == "hopper" else 4
        for suffix, rounding in _F64_ROUNDINGS:
            name = f"{arch}/mma{suffix}.f64.f64.f64.f64"
            known = _IEEE if not suffix else _DIRECTED
            yield Unit(name, "f64", "f64", "f64", "f64", k, Chain(rounding=rounding), known)
    for arch, family in (
        ("turing", "mma"), ("ampere", "mma"), ("ada", "mma"), ("hopper", "mma"), ("hopper", "wgmma"), ("blackwell", "mma"),
        ("blackwell", "tcgen05"), ("rtx-blackwell", "mma"),
    ):  # fmt: skip
        yield from _integer(arch, family, "s8", "u8", 16 if arch == "turing" else 32)  # m8n8k16 before Ampere
    for arch in ("turing", "ampere", "ada"):  # later ones take the instruction and run others in its place
        yield from _integer(arch, "mma", "s4", "u4", 32 if arch == "turing" else 64)
    for arch, family, operation in _BINARY:
        k = 128 if arch == "turing" else 256
        name = f"{arch}/{family}-{operation}.b1.b1.s32.s32"
        yield Unit(name, "b1", "b1", "s32", "s32", k, BinaryDot(operation), _POPC)


def _integer(arch: str, family: str, signed: str, unsigned: str, k: int) -> Iterator[Unit]:
    """Exact products of integers of either sign, wrapping and clamped."""
    for a, b in _types(signed, unsigned):
        for suffix, clamp in (("", False), ("-satfinite", True)):
            name = f"{arch}/{family}{suffix}.{a}.{b}.s32.s32"
            yield Unit(name, a, b, "s32", "s32", k, IntegerDot(clamp), _PTX)


def units() -> Iterator[Unit]:
    """Every NVIDIA unit."""
    yield from _fused()
    yield from _paired()
    yield from _block_scaled()
    yield from _exact()


CHIPS = {
    "v100": "volta", "t4": "turing", "a100": "ampere", "a30": "ampere", "a40": "ampere", "a2": "ampere",
    "l4": "ada", "l40s": "ada", "rtx-4090": "ada", "rtx-4060": "ada", "h100": "hopper", "h200": "hopper", "gh200": "hopper",
    "b200": "blackwell", "gb200": "blackwell", "rtx-pro-6000": "rtx-blackwell", "rtx-5090": "rtx-blackwell",
}  # fmt: skip
"""Chips by the architecture whose instructions they run."""

_OLD = {"fp16": "mma.f16.f16.f32.f32", "int8": "mma.s8.s8.s32.s32", "uint8": "mma.u8.u8.s32.s32"}
_INT4 = {"int4": "mma.s4.s4.s32.s32", "uint4": "mma.u4.u4.s32.s32"}
_XOR, _AND = {"b1-xor": "mma-xor.b1.b1.s32.s32"}, {"b1-and": "mma-and.b1.b1.s32.s32"}
_AMPERE = {**_OLD, "bf16": "mma.bf16.bf16.f32.f32", "tf32": "mma.tf32.tf32.f32.f32", "fp64": "mma.f64.f64.f64.f64"}
_MX = {"mxfp8": "mx.e4m3.e4m3", "mxfp6": "mx.e2m3.e2m3", "mxfp4": "mxf4.e2m1.e2m1", "nvfp4": "nvf4.e2m1.e2m1"}
PREFERRED: dict[str, dict[str, str]] = {
    "volta": {"fp16": "mma.f16.f16.f32.f32"},
    "turing": {**_OLD, **_INT4, **_XOR},
    "ampere": {**_AMPERE, **_INT4, **_XOR, **_AND},
    "ada": {**_AMPERE, **_INT4, **_XOR, **_AND, "fp8": "mma.e4m3.e4m3.f32.f32"},
    "hopper": {**{f: n.replace("mma.", "wgmma.") for f, n in _AMPERE.items() if f != "fp64"},
               "fp8": "wgmma.e4m3.e4m3.f32.f32", "fp64": "mma.f64.f64.f64.f64", "b1-and": "wgmma-and.b1.b1.s32.s32"},
    "blackwell": {**{f: n.replace("mma.", "tcgen05.") for f, n in _AMPERE.items() if f != "fp64"},
                  "fp8": "tcgen05.e4m3.e4m3.f32.f32", "fp64": "mma.f64.f64.f64.f64",
                  **{f: f"tcgen05-{n}.f32.f32" for f, n in _MX.items()}},
    "rtx-blackwell": {**_AMPERE, "fp8": "mma.e4m3.e4m3.f32.f32", **{f: f"mma-{n}.f32.f32" for f, n in _MX.items()}},
}  # fmt: skip
"""The instruction that a plain format name stands for on each architecture."""
