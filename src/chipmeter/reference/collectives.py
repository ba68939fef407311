"""One element of a collective: the association of its contributions, evaluated addition by addition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from chipmeter.reference.ieee import exact_product, rounded_sum
from chipmeter.reference.layouts import F32, layout_of
from chipmeter.reference.numbers import Layout, Value, decode, encode, fraction_of

Op = Literal["sum", "prod", "min", "max", "min_select", "max_select"]
Tree = int | tuple["Tree", ...]


def reduce_element(
    tree: Tree,
    codes: Sequence[int],
    layout: str | Layout,
    op: Op = "sum",
    accumulate: Literal["storage", "float32"] = "storage",
) -> int:
    """Reduce one element over ranks.

    Every sum or product of two parts is rounded once, to nearest even: in the ranks' layout, or in binary32 with one
    more rounding at the end. A node of three or more parts is added in binary32 (in the layout itself for binary32 and
    binary64) and rounded once to the layout. Layouts of 8 bits saturate, infinities included.

    Parameters
    ----------
    tree : int or tuple
        A rank, or the parts of a sum, in operand order.
    codes : sequence of int
        The element's code at each rank.
    layout : str or Layout
    op : str
        As `chipmeter.collectives.Arithmetic`; "min" and "max" need ordered numbers or NaN.
    accumulate : {"storage", "float32"}

    Returns
    -------
    int
        The code of the result; for NaN any code of one.

    Examples
    --------
    >>> reduce_element(((0, 1), 2), [0x4380, 0x3F80, 0x3F80], "bf16") == 0x4380  # 256 + 1 + 1, rounded twice
    True
    >>> hex(reduce_element(((0, 1), 2), [0x4380, 0x3F80, 0x3F80], "bf16", accumulate="float32"))
    '0x4381'
    """
    own = layout_of(layout)
    if own.bits >= 32:
        return _evaluate(tree, codes, own, own, own, op)
    wide = accumulate == "float32"
    result = _evaluate(tree, [_widen(c, own) for c in codes], F32 if wide else own, F32, own, op)
    return _narrow(result, own)


def _widen(code: int, layout: Layout) -> int:
    value = decode(code, layout)
    return encode(value, F32)


def _narrow(code: int, layout: Layout) -> int:
    return encode(decode(code, F32), layout, overflow="saturate" if layout.bits <= 8 else "ofp8")


def _evaluate(tree: Tree, codes: Sequence[int], kept: Layout, working: Layout, own: Layout, op: Op) -> int:
    if isinstance(tree, int):
        return codes[tree]
    parts = [_evaluate(part, codes, kept, working, own, op) for part in tree]
    result = parts[0]
    for part in parts[1:]:
        result = _combine(result, part, working, op)
    if kept != working and op in ("sum", "prod"):
        result = _widen(_narrow(result, own), own)
    return result


def _combine(a: int, b: int, layout: Layout, op: Op) -> int:
    x, y = decode(a, layout), decode(b, layout)
    if op == "sum":
        return rounded_sum(x, y, layout)
    if op == "prod":
        return encode(exact_product(x, y), layout)
    order = _order(x, y)
    if op in ("min_select", "max_select"):
        first = order is not None and (order < 0 if op == "min_select" else order > 0)
        return a if first else b
    if order is None:
        return b if x.kind == "nan" else a
    if order == 0:
        return a if x.negative == (op == "min") else b
    return a if (order < 0) == (op == "min") else b


def _order(x: Value, y: Value) -> int | None:
    """-1, 0, 1 for less, equal, greater; None where a NaN is."""
    if "nan" in (x.kind, y.kind):
        return None
    if x.kind == "inf" or y.kind == "inf":
        rank = [(-1 if v.negative else 1) if v.kind == "inf" else 0 for v in (x, y)]
        return (rank[0] > rank[1]) - (rank[0] < rank[1])
    p, q = fraction_of(x), fraction_of(y)
    return (p > q) - (p < q)
