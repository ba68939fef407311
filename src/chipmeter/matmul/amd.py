"""AMD matrix cores (MFMA) of CDNA1, CDNA2 and CDNA3: exact, flushed, and truncated-then-floored dot products.

Sources: MMA-Sim 2.1.1 (its authors' comparisons on MI100, MI250X and MI300X; no device outputs are public), Khattak and
Mikaitis (arXiv:2512.07004), and AMD's MIOpen documentation for the flushing of CDNA2. CDNA4 and RDNA are unknown.
"""

from __future__ import annotations

from collections.abc import Iterator

from chipmeter.evidence import Evidence
from chipmeter.matmul.units import Chain, ExactDot, FlooredDot, FlushedDot, IntegerDot, Model, Unit

_MMASIM = Evidence("inferred", "MMA-Sim 2.1.1: its authors' randomised comparisons on the device", "2026-10")
_WRAP = Evidence("inferred", "v_mfma_i32 with an s32 accumulator; no clamp modifier in the published encoding")

# arch, family, (a, b) pairs, K of the instructions (the longest takes the plain name), model
_FP8 = tuple((a, b) for a in ("e4m3fnuz", "e5m2fnuz") for b in ("e4m3fnuz", "e5m2fnuz"))
_ROWS: tuple[tuple[str, str, tuple[tuple[str, str], ...], tuple[int, ...], Model], ...] = (
    ("cdna1", "mfma", (("f16", "f16"),), (16, 8, 4), ExactDot(4)),
    ("cdna1", "mfma", (("bf16", "bf16"),), (8, 4, 2), ExactDot(2)),
    ("cdna2", "mfma", (("f16", "f16"),), (16, 8, 4), FlushedDot(4)),
    ("cdna2", "mfma", (("bf16", "bf16"),), (8, 4, 2), FlushedDot(2)),
    ("cdna2", "mfma-1k", (("bf16", "bf16"),), (16, 8, 4), FlushedDot(4)),
    ("cdna3", "mfma", (("f16", "f16"), ("bf16", "bf16")), (16, 8, 4), FlooredDot(8)),
    ("cdna3", "mfma", (("tf32", "tf32"),), (8, 4), FlooredDot(4)),
    ("cdna3", "mfma", _FP8, (32, 16), FlooredDot(16, groups=2)),
)

CHIPS = {"mi100": "cdna1", "mi250x": "cdna2", "mi300x": "cdna3", "mi325x": "cdna3"}
PREFERRED: dict[str, dict[str, str]] = {
    "cdna1": {
        "fp16": "mfma.f16.f16.f32.f32",
        "bf16": "mfma.bf16.bf16.f32.f32",
        "fp32": "mfma.f32.f32.f32.f32",
        "int8": "mfma.s8.s8.s32.s32",
    },
    "cdna2": {
        "fp16": "mfma.f16.f16.f32.f32",
        "bf16": "mfma-1k.bf16.bf16.f32.f32",
        "fp32": "mfma.f32.f32.f32.f32",
        "fp64": "mfma.f64.f64.f64.f64",
        "int8": "mfma.s8.s8.s32.s32",
    },
    "cdna3": {
        "fp16": "mfma.f16.f16.f32.f32",
        "bf16": "mfma.bf16.bf16.f32.f32",
        "tf32": "mfma.tf32.tf32.f32.f32",
        "fp8": "mfma.e4m3fnuz.e4m3fnuz.f32.f32",
        "bf8": "mfma.e5m2fnuz.e5m2fnuz.f32.f32",
        "fp32": "mfma.f32.f32.f32.f32",
        "fp64": "mfma.f64.f64.f64.f64",
        "int8": "mfma.s8.s8.s32.s32",
    },
}


def units() -> Iterator[Unit]:
    """Every AMD unit."""
    for arch, family, pairs, depths, floats in _ROWS:
        for a, b in pairs:
            for k in depths:
                name = f"{arch}/{family}{'' if k == depths[0] else f'-k{k}'}.{a}.{b}.f32.f32"
                yield Unit(name, a, b, "f32", "f32", k, floats, _MMASIM)
    for arch, names in PREFERRED.items():
        for short in ("fp32", "fp64", "int8"):
            if short not in names:
                continue
            t, c = names[short].split(".")[1], names[short].split(".")[3]
            integer = t == "s8"
            model, evidence = (IntegerDot(), _WRAP) if integer else (Chain(), _MMASIM)
            yield Unit(f"{arch}/{names[short]}", t, t, c, c, 16 if integer else 4, model, evidence)
