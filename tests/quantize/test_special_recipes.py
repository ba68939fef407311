"""Recipes of one library's procedure give that procedure's bits, from `quantize`, along any axis and with short blocks."""

from __future__ import annotations

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.quantize import RECIPES, affine, ggml
from chipmeter.quantize.layouts import pack_nibbles

X = (np.random.default_rng(1).standard_normal((6, 256)) ** 3).astype(np.float32)


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q4_1", "MXFP4"])
def test_ggml_blocks(kind: ggml.Kind) -> None:
    raw = ggml.quantize_ggml(X, kind)
    q = cm.quantize(X, f"gguf-{kind.lower()}")
    np.testing.assert_array_equal(q.dequantize(), ggml.dequantize_ggml(raw, kind))
    blocks = raw.reshape(6, 8, -1)
    heads = [np.ascontiguousarray(a).view(np.uint8).reshape(6, 8, -1) for a in (q.scales, q.minimums) if a is not None]
    codes = q.codes.view(np.uint8).reshape(6, 8, 32)
    if kind != "Q8_0":
        codes = codes[..., :16] | codes[..., 16:] << 4
    np.testing.assert_array_equal(np.concatenate([*heads, codes], axis=-1), blocks)
    assert 8 * raw.nbytes / X.size == q.recipe.bits_per_element


def test_double_quantisation() -> None:
    codes, scalers, factors, mean = affine.quantize_nf4_double(X, 64, 256)
    q = cm.quantize(X, "nf4-double")
    assert q.scale_factors is not None
    np.testing.assert_array_equal(q.codes, codes)
    np.testing.assert_array_equal(q.scales.reshape(-1), scalers)
    assert (q.scale_factors.tolist(), q.scale_mean) == (factors.tolist(), mean)
    scales = scalers.astype(np.float32) / factors[0] + mean
    want = affine.NF4_SHORT[codes].reshape(-1, 64) * scales[:, None]
    np.testing.assert_array_equal(q.dequantize().reshape(-1, 64), want)
    assert cm.quantize(np.ones(640, np.float32), "nf4-double").dequantize().tolist() == [1.0] * 640


def test_bitsandbytes_fp4() -> None:
    codes, amax = affine.quantize_bnb4(X.reshape(-1, 64), "fp4")
    q = cm.quantize(X, "fp4-bitsandbytes")
    np.testing.assert_array_equal(pack_nibbles(q.codes), pack_nibbles(codes.reshape(6, 256)))
    np.testing.assert_array_equal(q.scales.reshape(-1), amax)
    y = np.float32([-1, -0.0, 0.001, 0.3, 1])
    np.testing.assert_array_equal(cm.cast(y, "fp4_bitsandbytes"), affine.quantize_bnb4(y[None], "fp4")[0][0])


@pytest.mark.parametrize("name", [n for n, r in RECIPES.items() if r.special])
def test_axes_and_short_blocks(name: str) -> None:
    x = X[:, :70]
    whole, block = cm.quantize(x, name), RECIPES[name].block
    for i in range(0, 70, block):
        part = cm.quantize(x[:, i : i + block], name)
        np.testing.assert_array_equal(whole.codes[:, i : i + block].view(np.uint8), part.codes.view(np.uint8))
        assert RECIPES[name].second or whole.scales[:, i // block].tobytes() == part.scales[:, 0].tobytes()
    turned = cm.quantize(x.T, name, axis=0)
    np.testing.assert_array_equal(turned.codes.T.view(np.uint8), whole.codes.view(np.uint8))
    np.testing.assert_array_equal(turned.dequantize().T, whole.dequantize())
    if not RECIPES[name].second:
        assert (
            8 * cm.quantize(X[:, : 4 * block], name).nbytes / X[:, : 4 * block].size == RECIPES[name].bits_per_element
        )
