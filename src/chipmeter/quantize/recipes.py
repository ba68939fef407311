"""The recipes by name."""

from __future__ import annotations

from chipmeter._names import unknown_name
from chipmeter.evidence import Evidence
from chipmeter.quantize.affine import Mapping
from chipmeter.quantize.float_tiles import ScaleForm
from chipmeter.quantize.nvfp4 import Adaptive, Flavour
from chipmeter.quantize.recipe import ElementRounding, Granularity, Recipe, ScaleRule, Tail

__all__ = ["RECIPES", "ElementRounding", "Granularity", "Recipe", "ScaleRule", "Tail", "recipe_of"]

_OCP = Evidence("documented", "OCP Microscaling Formats (MX) v1.0, sections 5-6")
_ROUND_UP = Evidence("documented", "NVIDIA cuBLAS block scaling; TransformerEngine mxfp8 cast; torchao to_mx RCEIL")
_NEURON = Evidence("documented", "AWS Neuron nki.isa.quantize_mx, NKI 0.5.0", "2026-07-07")
_NVFP4 = Evidence("documented", "torchao nvfp4_tensor.py, two-level scaling")
_AMAX = Evidence(
    "documented", "TransformerEngine current scaling; DeepSeek-V3 act_quant divides by amax / element maximum"
)


_TE = Evidence("documented", "TransformerEngine git d0067d0, references of its tests")
_DEEPGEMM = Evidence("documented", "DeepGEMM deep_gemm/utils/math.py")
_DEEPSEEK = Evidence("documented", "DeepSeek-V3 inference/kernel.py act_quant; weights in 128x128 blocks")
_MODELOPT = Evidence("documented", "nvidia-modelopt 0.47 NVFP4QTensor")
_COMPRESSED = Evidence("documented", "compressed-tensors 0.20")
_NEURON = Evidence("documented", "AWS Neuron SDK, nki.isa quantize_mx since NKI 0.5")
_TORCHAO = Evidence("documented", "torchao 0.18 quant_primitives.py")
_BNB = Evidence("documented", "bitsandbytes 0.50 functional.quantize_4bit")
_NF4_TORCHAO = Evidence("documented", "torchao 0.18 dtypes/nf4tensor.py")
_TORCHAO_MX = Evidence("documented", "torchao to_mx, ScaleCalculationMode")
_GGUF = Evidence("documented", "gguf-py 0.19 quants.py")
_E8M0, _E4M3FN, _E2M1 = "float8_e8m0fnu", "float8_e4m3fn", "float4_e2m1fn"
RHT_SIGNS = 0b1101011111101000
"""Signs of Transformer Engine's Hadamard transform: - at 3, 5 to 10, 12, 14 and 15."""


def _blocks(rows: int) -> tuple[Recipe, ...]:
    """Make the fp8 recipes of 128 columns by `rows`."""

    def block(ending: str, evidence: Evidence, form: ScaleForm, smallest: float, power_of_two: bool) -> Recipe:
        return Recipe(
            f"fp8-{rows}x128{ending}", _E4M3FN, "block", 128, "float32", "amax", evidence, rows=rows, form=form,
            smallest=smallest, power_of_two=power_of_two,
        )  # fmt: skip

    return (
        block("", _DEEPSEEK, "divide", 1e-4, False),
        block("-deepgemm", _DEEPGEMM, "reciprocal", 1e-4, False),
        block("-ue8m0", _DEEPGEMM, "reciprocal", 1e-4, True),
        block("-te", _TE, "multiplier", 0.0, False),
        block("-te-pow2", _TE, "multiplier", 0.0, True),
    )


def _nvfp4(
    name: str,
    flavour: Flavour,
    evidence: Evidence,
    rows: int = 1,
    adaptive: Adaptive = "none",
    signs: int | None = None,
) -> Recipe:
    return Recipe(
        name,
        _E2M1,
        "block",
        16,
        _E4M3FN,
        "amax",
        evidence,
        two_level=True,
        flavour=flavour,
        rows=rows,
        adaptive=adaptive,
        signs=signs,
    )


def _integers(bits: int, group: int) -> tuple[Recipe, ...]:
    def integers(sign: str, mapping: Mapping) -> Recipe:
        kind = f"{sign}int{bits}"
        return Recipe(f"{kind}-group{group}", kind, "block", group, "float32", "amax", _TORCHAO, mapping=mapping)

    return integers("", "symmetric"), integers("u", "affine")


def _mx(name: str, element: str) -> tuple[Recipe, ...]:
    return (
        Recipe(name, element, "block", 32, "float8_e8m0fnu", "floor", _OCP),
        Recipe(f"{name}-ceil", element, "block", 32, "float8_e8m0fnu", "ceil", _TORCHAO_MX),
        Recipe(f"{name}-even", element, "block", 32, "float8_e8m0fnu", "even", _TORCHAO_MX),
        Recipe(f"{name}-roundup", element, "block", 32, "float8_e8m0fnu", "round-up", _ROUND_UP),
        Recipe(f"{name}-headroom", element, "block", 32, "float8_e8m0fnu", "headroom", _NEURON),
    )


_TABLE: tuple[Recipe, ...] = (
    *_mx("mxfp8", "float8_e4m3fn"),
    *_mx("mxfp8-e5m2", "float8_e5m2"),
    *_mx("mxfp6", "float6_e2m3fn"),
    *_mx("mxfp6-e3m2", "float6_e3m2fn"),
    *_mx("mxfp4", "float4_e2m1fn"),
    Recipe("nvfp4", "float4_e2m1fn", "block", 16, "float8_e4m3fn", "amax", _NVFP4, two_level=True),
    Recipe("mxint8", "int8", "block", 32, _E8M0, "floor", _OCP),
    Recipe("mxfp8-32x32", _E4M3FN, "block", 32, _E8M0, "round-up", _TE, rows=32),
    Recipe("mxfp8-trainium", _E4M3FN, "block", 32, _E8M0, "headroom", _NEURON),
    Recipe("mxfp8-e5m2-trainium", "float8_e5m2", "block", 32, _E8M0, "headroom", _NEURON),
    Recipe("mxfp8-compressed-tensors", _E4M3FN, "block", 32, _E8M0, "three-quarters", _COMPRESSED),
    Recipe("mxfp4-compressed-tensors", _E2M1, "block", 32, _E8M0, "three-quarters", _COMPRESSED),
    Recipe("nvfp4-single", _E2M1, "block", 16, _E4M3FN, "amax", _NVFP4),
    _nvfp4("nvfp4-te", "transformer-engine", _TE),
    _nvfp4("nvfp4-te-16x16", "transformer-engine", _TE, rows=16),
    _nvfp4("nvfp4-te-rht", "transformer-engine", _TE, signs=RHT_SIGNS),
    _nvfp4("nvfp4-4over6", "transformer-engine", _TE, adaptive="mae"),
    _nvfp4("nvfp4-4over6-mse", "transformer-engine", _TE, adaptive="mse"),
    _nvfp4("nvfp4-modelopt", "modelopt", _MODELOPT),
    _nvfp4("nvfp4-compressed-tensors", "compressed-tensors", _COMPRESSED),
    Recipe(
        "fp4-deepgemm",
        _E2M1,
        "block",
        32,
        "float32",
        "amax",
        _DEEPGEMM,
        form="reciprocal",
        smallest=1e-4,
        rounding="nearest-zero",
    ),
    *_blocks(1),
    *_blocks(128),
    Recipe("fp8-group128", _E4M3FN, "block", 128, "float32", "amax", _AMAX),
    *_integers(8, 128),
    *_integers(4, 32),
    *_integers(4, 128),
    Recipe("nf4", "nf4", "block", 64, "float32", "amax", _BNB),
    Recipe("nf4-double", "nf4_short", "block", 64, "int8", "amax", _NF4_TORCHAO, second=256),
    Recipe("fp4-bitsandbytes", "fp4_bitsandbytes", "block", 64, "float32", "amax", _BNB),
    Recipe("gguf-q8_0", "int8", "block", 32, "float16", "amax", _GGUF, form="reciprocal", rounding="nearest-away"),
    Recipe("gguf-q4_0", "uint4", "block", 32, "float16", "amax", _GGUF, mapping="extreme"),
    Recipe("gguf-q4_1", "uint4", "block", 32, "float16", "amax", _GGUF, mapping="least"),
    Recipe("gguf-mxfp4", _E2M1, "block", 32, _E8M0, "floor-log2", _GGUF, rounding="nearest-zero"),
    Recipe("fp4", _E2M1, "tensor", 0, "float32", "amax", _AMAX, aliases=("fp4-tensor",)),
    Recipe("fp4-row", _E2M1, "row", 0, "float32", "amax", _AMAX),
    Recipe("nvfp4-te-pow2", _E2M1, "block", 16, "float32", "amax", _TE, form="logarithm"),
    Recipe("fp8", "float8_e4m3fn", "tensor", 0, "float32", "amax", _AMAX, aliases=("fp8-tensor",)),
    Recipe("fp8-row", "float8_e4m3fn", "row", 0, "float32", "amax", _AMAX),
    Recipe("fp8-e5m2", "float8_e5m2", "tensor", 0, "float32", "amax", _AMAX),
    Recipe("fp8-240", "float8_e4m3", "tensor", 0, "float32", "amax", _AMAX),
    Recipe("fp8-240-row", "float8_e4m3", "row", 0, "float32", "amax", _AMAX),
    Recipe("int8", "int8", "tensor", 0, "float32", "amax", _AMAX, aliases=("int8-tensor",)),
    Recipe("int8-row", "int8", "row", 0, "float32", "amax", _AMAX),
)

RECIPES: dict[str, Recipe] = {r.name: r for r in _TABLE}
"""Every named recipe. `-roundup` is NVIDIA's scale rule, `-headroom` Trainium's, the bare MX names are OCP's; `fp8-240` is for chips whose
e4m3 ends at 240."""

_BY_NAME = {name: r for r in _TABLE for name in (r.name, *r.aliases)}


def recipe_of(name: str | Recipe) -> Recipe:
    """Find a recipe by name; a record, for instance one of your own, is returned as it is.

    >>> recipe_of("mxfp44")
    Traceback (most recent call last):
    ...
    chipmeter._names.UnknownNameError: unknown recipe 'mxfp44'; did you mean 'mxfp4' or 'mxfp8' or 'mxfp6'?
    """
    if isinstance(name, Recipe):
        return name
    if not isinstance(name, str):
        raise TypeError(f"a recipe is named by a string or given as a record, got {type(name).__name__}")
    found = _BY_NAME.get(name.lower())
    if found is None:
        raise unknown_name("recipe", name, _BY_NAME)
    return found
