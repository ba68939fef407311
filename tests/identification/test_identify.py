"""Every unit is found again with its label hidden, by units of its own arithmetic alone; NumPy is described."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, get_args

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.evidence import Evidence
from chipmeter.identification import Identification, identify
from chipmeter.identification.vectors import batches
from chipmeter.matmul import Order, Unit, unit, units


def blind(one: Unit, *, describe: bool = False) -> Identification:
    """Identify a unit behind a callable that does not say its name."""

    def hidden(a: Any, b: Any, c: Any = None, **scales: Any) -> Any:
        return cm.matmul(a, b, c, unit=one, **scales)

    types = (one.a, one.b, one.c, one.d)
    return identify(hidden, types, scale=one.scale, scale_block=one.scale_block, describe=describe)


def arithmetic(one: Unit) -> Unit:
    """A record without its name and evidence: what decides the bits."""
    return replace(one, name="?", evidence=Evidence("assumed", ""))


def alike_on_fresh_operands(one: Unit, other: Unit) -> bool:
    """Whether two units agree on another drawing of the operands."""
    for p in batches((one.a, one.b, one.c, one.d), True, one.scale, one.scale_block, 1024, seed=1):
        scales = {} if p.scales is None else {"scale_a": p.scales[0], "scale_b": p.scales[1]}
        d, e = (cm.matmul(p.a, p.b, p.c, unit=u, **scales) for u in (one, other))
        if not np.array_equal(d, e, equal_nan=True):
            return False
    return True


def distinct() -> list[Unit]:
    """One unit of each arithmetic."""
    return list({arithmetic(u): u for u in units().values()}.values())


def named(label: str) -> Unit:
    """The record behind a label of the result."""
    name, _, order = label.partition(" -> ")[0].partition(" order=")
    return units()[name].with_order(order) if order else units()[name]  # type: ignore[arg-type]


@pytest.mark.parametrize("one", distinct(), ids=lambda u: u.name)
def test_every_unit_is_identified_blind(one: Unit) -> None:
    found = blind(one)
    alike = [u.name for u in units().values() if arithmetic(u) == arithmetic(one)]
    assert set(alike) <= set(found.matches)
    assert found.matches in found.classes
    others = {named(m).model: named(m) for m in found.matches}
    for other in others.values():
        if other.model != one.model:  # one arithmetic under two records: alike on operands never seen before, too
            assert alike_on_fresh_operands(one, other)
    assert all(d.mismatches for d in found.nearest)


def test_every_order_of_a_policy_is_found() -> None:
    tried = 0
    for order in get_args(Order):
        try:
            one = unit("trn2/bf16").with_order(order)
        except ValueError:  # an order for other operands
            continue
        models = [named(m).model for m in blind(one).matches]
        assert one.model in models
        tried += 1
    assert tried >= 3


def test_a_unit_of_a_users_own_is_told_from_every_other() -> None:
    a100 = unit("a100/bf16")
    found = blind(replace(a100, model=replace(a100.model, fraction_bits=23)), describe=True)  # type: ignore[type-var]
    assert found.matches == ()
    nearest = found.nearest[0]
    assert nearest.unit.startswith(("ampere", "ada"))
    assert nearest.mismatches < nearest.compared
    assert ("kept bits", "24, cut toward zero") in {(p.name, p.value) for p in nearest.properties}
    assert "here 0x" in nearest.example
    assert found["kept bits"].value == "23, cut toward zero"
    assert "not ampere" in str(found)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("v100/fp16", {"kept bits": "23, cut toward zero", "order": "steps of 4 products fused, k ascending"}),
        ("volta/mma.f16.f16.f16.f16", {"result": "10 fraction bits, to nearest, ties to even", "NaN code": "0x7FFF"}),
        ("a100/fp16", {"kept bits": "24, cut toward zero", "order": "steps of 8 products fused, k ascending",
                       "zeros": "+0 always", "order to k = 1024": "one chain", "accumulator c": "enters with the first step"}),
        ("a100/bf16", {"alignment floor": "terms cut below 2^-156 however small all are",
                       "overflow": "2^128 gives inf, 2^128 - 2^128 gives 0.0", "result": "23 fraction bits, toward zero"}),
        ("h100/bf16", {"alignment floor": "terms cut below 2^-158 however small all are"}),
        ("h100/fp8", {"kept bits": "13, cut toward zero", "result": "13 fraction bits, toward zero",
                      "c alone": "cut to 13 fraction bits", "order": "steps of 32 products fused, k ascending"}),
        ("h100/mma.e4m3.e4m3.f16.f16", {"order": "tree ((0 1 4 5 8 9 12 13 16 17 20 21 24 25 28 29) "
                                        "2 3 6 7 10 11 14 15 18 19 22 23 26 27 30 31)"}),
        ("a100/fp64", {"products": "exact (fused multiply-add)", "order": "one product after another, k ascending"}),
        ("trn2/bf16", {"order to k = 1024": "blocks of 128 products, one block after another",
                       "accumulator c": "enters after the first 128 products"}),
        ("b200/nvfp4", {"order": "not visible", "kept bits": "at least 4"}),
        ("a100/int8", {"overflow": "wraps"}),
        ("ampere/mma-satfinite.s8.s8.s32.s32", {"overflow": "clamps after every 32 products"}),
        ("ampere/mma-satfinite.u8.s8.s32.s32", {"overflow": "clamps after every 32 products"}),
    ],
)  # fmt: skip
def test_properties_are_read_off_the_bits(name: str, expected: dict[str, str]) -> None:
    found = blind(unit(name), describe=True)
    assert {n: found[n].value for n in expected} == expected
    assert found["dependence on position"].value == "none"
    with pytest.raises(KeyError):
        found["colour"]


def test_a_pairwise_order_is_drawn_as_its_tree() -> None:
    found = blind(unit("trn2/bf16").with_order("pairwise"), describe=True)
    assert found["order"].value.startswith("tree (((((0 1) (2 3)) ((4 5) (6 7)))")


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_numpy_is_described_by_its_structure(kind: str) -> None:
    found = identify(np.matmul, kind, addend=False)
    if not found.matches:  # one BLAS sums in one chain, another in blocks
        assert found.summary.startswith(f"no unit; binary{kind[1:]}; products ")
        assert found.nearest[0].mismatches
    bits = {"f32": 23, "f64": 52}[kind]
    assert found["result"].value == f"{bits} fraction bits, to nearest, ties to even"
    assert found["c alone"].value == "not visible"


def test_rounding_is_read_whichever_terms_an_order_adds_first() -> None:
    """A BLAS may keep one sum of even products and one of odd ones: 1 and half an ulp then meet before the ulp comes."""

    def chain(a: Any, b: Any, products: range) -> Any:
        d = np.zeros((a.shape[0], b.shape[1]), a.dtype)
        for k in products:
            d += a[:, k : k + 1] * b[k]
        return d

    def halves(a: Any, b: Any) -> Any:
        k = a.shape[1]
        with np.errstate(all="ignore"):
            return chain(a, b, range(0, k, 2)) + chain(a, b, range(1, k, 2))

    assert identify(halves, "f32")["result"].value == "23 fraction bits, to nearest, ties to even"


def numpy_reference(a: Any, b: Any) -> Any:
    """Rounded products, added from the last to the first."""
    d = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    with np.errstate(all="ignore"):
        for k in reversed(range(a.shape[1])):
            d += a[:, k : k + 1] * b[k]
    return d


def test_an_arithmetic_no_unit_has_is_described() -> None:
    found = identify(numpy_reference, "f32")
    assert found.matches == ()
    assert found["products"].value == "rounded before they are added"
    assert found["order"].value.startswith("tree (0 (1 (2 (3")


def test_a_device_that_needs_a_longer_k_is_given_it() -> None:
    def picky(a: Any, b: Any) -> Any:
        if a.shape[1] % 128:
            raise RuntimeError("K must be a multiple of 128")
        return cm.matmul(a, b, unit="h100/fp8")

    assert identify(picky, "e4m3", describe=False).matches == ("hopper/wgmma.e4m3.e4m3.f32.f32",)


def test_noise_is_reported_as_such() -> None:
    rng = np.random.default_rng(0)

    def noisy(a: Any, b: Any) -> Any:
        return cm.matmul(a, b, unit="a100/fp16") + np.float32(rng.integers(2))

    with pytest.raises(ValueError, match=r"noisy is not deterministic: \d+ of 1024 outputs differ between two calls"):
        identify(noisy, "f16")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda a, b: np.zeros((2, 2), np.float32), r"must return float32 of shape \(32, 32\) .* got float32 of \(2, 2\)"),
        (lambda a, b: np.zeros((32, 32)), "must return float32 .* got float64"),
        (lambda a, b: [[0.0]], "must return a NumPy array, got list"),
        (lambda a, b: None, "must return a NumPy array, got NoneType"),
        (lambda a, b: 1 / 0, "failed on a .* ZeroDivisionError: division by zero"),
        (lambda a: a, "failed on a .* TypeError"),
    ],
)  # fmt: skip
def test_a_bad_callable_gives_one_clear_error(answer: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        identify(answer, "f16")


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        ((7, "f16"), {}, "matmul must be a callable, got int"),
        ((np.matmul, "f17"), {}, "unknown operand type 'f17'; did you mean"),
        ((np.matmul, "f16.f16.f16.f16.f16"), {}, "one to four types"),
        ((np.matmul, ()), {}, "one to four types"),
        ((np.matmul, "e2m1"), {"scale": "ue4m3"}, "go together, got 'ue4m3' and 0"),
        ((np.matmul, "e2m1"), {"scale": "e8", "scale_block": 32}, "ue8m0, ue4m3"),
    ],
)
def test_bad_arguments_are_refused(arguments: Any, keywords: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        identify(*arguments, **keywords)


def test_operands_are_copies_the_callable_may_spoil() -> None:
    def spoils(a: Any, b: Any) -> Any:
        d = cm.matmul(a, b, unit="a100/fp16")
        a[...], b[...] = 0, 0
        return d

    assert "ampere/mma.f16.f16.f32.f32" in identify(spoils, "f16", describe=False).matches


def test_partial_objects_show_their_accumulator() -> None:
    assert identify(partial(cm.matmul, unit="a100/bf16"), "bf16", describe=False).outputs > 30000


@pytest.mark.parametrize("kind", ["bf16", "f16"])
def test_a_library_that_casts_the_result_is_found_behind_its_cast(kind: str) -> None:
    def layer(a: Any, b: Any) -> Any:
        return cm.cast(cm.matmul(a, b, unit="h100/bf16"), "bfloat16" if kind == "bf16" else "float16")

    found = identify(layer, f"bf16.bf16.{kind}")
    assert f"hopper/wgmma.bf16.bf16.f32.f32 -> {kind}" in found.matches
    assert all(m.endswith(f" -> {kind}") for m in found.matches)


def test_a_result_type_no_unit_gives_is_described() -> None:
    def sums(a: Any, b: Any, c: Any) -> Any:
        with np.errstate(all="ignore"):
            return cm.cast(a.astype(np.float32) @ b.astype(np.float32) + c.astype(np.float32), "bfloat16")

    found = identify(sums, "bf16.bf16.bf16.bf16")
    assert (found.matches, found.nearest) == ((), ())
    assert found["result"].value == "7 fraction bits, to nearest, ties to even"
