"""Every matrix unit of the catalogue gives the bits of its reference dot product, on every tier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.matmul import BinaryDot, Chain, IntegerDot, Unit, unit, units
from chipmeter.matmul.operands import operand_dtype

Array = np.ndarray[Any, Any]


def distinct_units() -> list[Unit]:
    """One unit per arithmetic: architectures that share it are compared by `test_shared_arithmetic_is_one_record`."""
    found: dict[tuple[Any, ...], Unit] = {}
    for u in units().values():
        found.setdefault((u.a, u.b, u.c, u.d, u.k, u.model, u.scale, u.scale_block), u)
    return list(found.values())


UNITS = distinct_units()


def depth_of(unit: Unit) -> int:
    """A ragged K of more than two steps, and of more than one tile where there are tiles."""
    tile = unit.model.tile if isinstance(unit.model, Chain) else 0
    return tile + 9 if tile else max(2 * unit.k + 3, 11)


def bits(x: Array) -> Array:
    return np.ascontiguousarray(x).view(f"u{x.dtype.itemsize}")


def on_every_tier(
    unit: Unit, a: Array, b: Array, c: Array | None, scales: dict[str, Array], want: dict[tuple[int, int], int]
) -> None:
    first: Array | None = None
    before = cm.tier()
    try:
        for tier in cm.tiers():
            cm.use_tier(tier)
            got = bits(cm.matmul(a, b, c, unit=unit, **scales))
            first = got if first is None else first
            np.testing.assert_array_equal(got, first, err_msg=f"{unit.name}: {tier} differs from {cm.tiers()[0]}")
            for (i, j), code in want.items():
                assert got[i, j] == code, (
                    f"{unit.name} on {tier}, element {(i, j)}: {got[i, j]:#x}, the reference {code:#x}; "
                    f"a = {bits(a)[i].tolist()}, b = {bits(b)[:, j].tolist()}, c = {None if c is None else hex(bits(c)[i, j])}, "
                    f"scales {[s.tolist() for s in (scales['scale_a'][i], scales['scale_b'][:, j])] if scales else None}"
                )
    finally:
        cm.use_tier(before)


@pytest.mark.parametrize("unit", UNITS, ids=lambda u: u.name)
def test_unit(
    unit: Unit,
    draw: Callable[..., tuple[Array, Array, Array, dict[str, Array]]],
    expected: Callable[..., dict[tuple[int, int], int]],
) -> None:
    tiled = isinstance(unit.model, Chain) and unit.model.tile > 0
    m, n = (8, 17) if not tiled else (8, 9)
    a, b, c, scales = draw(unit, m, n, depth_of(unit))
    rng = np.random.default_rng(len(unit.name))
    cells = [(int(i), int(j)) for i, j in rng.permutation([(i, j) for i in range(m) for j in range(n)])]
    count = 5 if tiled else 30
    for addend, at in ((c, cells[:count]), (None, cells[count : count + count // 3 + 1])):
        on_every_tier(unit, a, b, addend, scales, expected(unit, a, b, addend, **scales, at=at))


@pytest.mark.parametrize(("name", "order"), [(u.name, order) for u in UNITS for order in u.orders])
def test_orders_of_a_policy(
    name: str, order: str, draw: Callable[..., tuple[Array, Array, Array, dict[str, Array]]],
    expected: Callable[..., dict[tuple[int, int], int]],
) -> None:  # fmt: skip
    unit = units()[name].with_order(order)
    a, b, c, scales = draw(unit, 8, 2, 27 + len(name) % 12)
    for addend in (c, None):
        want = expected(unit, a, b, addend, **scales, at=[(i, i % 2) for i in range(8)])
        on_every_tier(unit, a, b, addend, scales, want)
        direct = cm.matmul(a, b, addend, unit=name, order=order, **scales)
        np.testing.assert_array_equal(bits(direct), bits(cm.matmul(a, b, addend, unit=unit, **scales)))


@pytest.mark.parametrize("kind", ["bf16", "f32", "e5m2-double-row", "mx"])
def test_orders_across_tiles(
    kind: str, draw: Callable[..., tuple[Array, Array, Array, dict[str, Array]]],
    expected: Callable[..., dict[tuple[int, int], int]],
) -> None:  # fmt: skip
    found = {
        "bf16": "neuroncore-v3/matmul.bf16.bf16.f32.f32", "f32": "neuroncore-v2/matmul.f32.f32.f32.f32",
        "e5m2-double-row": "neuroncore-v3/matmul-double-row.e5m2.e5m2.f32.f32",
        "mx": "neuroncore-v4/matmul-mx.e4m3.e5m2.f32.f32",
    }  # fmt: skip
    unit = units()[found[kind]]
    for order in unit.orders:
        assert isinstance(unit.model, Chain)
        short = replace(unit, model=replace(unit.model, order=order, tile=32 if kind == "mx" else 10))
        a, b, c, scales = draw(short, 8, 2, 75 if kind == "mx" else 33)
        for addend in (c, None):
            want = expected(short, a, b, addend, **scales, at=[(i, i % 2) for i in range(8)])
            on_every_tier(short, a, b, addend, scales, want)


def test_shared_arithmetic_is_one_record() -> None:
    # what runs depends on these fields alone, so a unit that shares them with a tested one is tested
    assert len(UNITS) > 100
    assert {u.model for u in UNITS} == {u.model for u in units().values()}


def test_names_say_the_types() -> None:
    for name, u in units().items():
        assert name == u.name
        arch, _, instruction = name.partition("/")
        assert arch
        assert instruction.split(".")[1:] == [u.a, u.b, u.c, u.d]
        assert isinstance(u.model, (IntegerDot, BinaryDot)) == (u.d == "s32")


@pytest.mark.parametrize("name", ["trn2/fp8", "neuroncore-v3/matmul-double-row.e5m2.e4m3ieee.f32.f32", "neuroncore-v2/matmul.e3m4.e3m4.f32.f32",
                                  "tpu-v7/fp8", "trn3/mxfp8"])  # fmt: skip
def test_every_pair_of_8_bit_codes_is_exact_in_every_order(name: str) -> None:
    # one product has at most 10 significant bits, so no order has anything to round but the one that rounds products
    u = unit(name)
    a = np.arange(256, dtype=np.uint8)[:, None].view(operand_dtype(u.a))
    b = np.arange(256, dtype=np.uint8)[None, :].view(operand_dtype(u.b))
    one = np.full((256, 1), 127, np.uint8)
    scales = {"scale_a": one, "scale_b": one.T} if u.scale else {}
    with np.errstate(invalid="ignore"):
        exact = a.astype(np.float32) * b.astype(np.float32)
    wide_a, wide_b = (
        np.pad(a.view(np.uint8), ((0, 0), (0, 1))).view(a.dtype),
        np.pad(b.view(np.uint8), ((0, 1), (0, 0))).view(b.dtype),
    )
    for order in u.orders:
        want = cm.decode(cm.cast(exact, "bfloat16")) if order == "bf16-products" else exact
        for x, y in ((a, b), (wide_a, wide_b)):
            got = cm.matmul(x, y, unit=u, order=order, **scales)
            np.testing.assert_array_equal(np.isnan(got), np.isnan(exact))
            same = ~np.isnan(exact) & (exact != 0)
            np.testing.assert_array_equal(bits(got)[same], bits(want)[same])
            assert (got[exact == 0] == 0).all()
