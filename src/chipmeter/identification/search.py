"""identify: compare a black box with every unit of its types, and say what it is or how it differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from chipmeter._arrays import AnyArray
from chipmeter.evidence import Evidence
from chipmeter.formats import cast
from chipmeter.identification.device import Device, Matmul, device
from chipmeter.identification.probes import properties
from chipmeter.identification.records import Difference, Identification
from chipmeter.identification.vectors import LINES, Batch, batches, decoded
from chipmeter.matmul import Order, Unit, matmul, units
from chipmeter.matmul.operands import operand_dtype
from chipmeter.matmul.units import OPERANDS

_NO_EVIDENCE = Evidence("assumed", "")
STEPS = (32, 64, 128, 256, 512, 1024)
"""Multiples of K that are tried until the black box takes one."""

Bits = NDArray[Any]


@dataclass(frozen=True)
class Candidate:
    """A unit, with an order where that is a policy, and with a cast of its result where the library makes one."""

    name: str
    unit: Unit
    result: str


def candidates(types: tuple[str, str, str, str], addend: bool, scale: str | None, block: int) -> list[Candidate]:
    """Find every unit of these types; without an accumulator input its type does not matter.

    Libraries return bfloat16 or float16 of a float32 accumulator: such units take part with that cast, `unit -> bf16`.
    """
    found = []
    for u in units().values():
        same = (u.a, u.b) == types[:2] and (not addend or u.c == types[2])
        cast_after = u.d == "f32" and types[3] in ("bf16", "f16")
        if not same or not (u.d == types[3] or cast_after) or (u.scale, u.scale_block) != (scale, block):
            continue
        suffix = f" -> {types[3]}" if cast_after else ""
        found.append(Candidate(u.name + suffix, u, types[3]))
        for order in get_args(Order):
            try:
                other = u.with_order(order)
            except (ValueError, TypeError):
                continue
            if other != u:
                found.append(Candidate(f"{u.name} order={order}{suffix}", other, types[3]))
    return found


def _device(one: Candidate, like: Device) -> Device:
    """Wrap a unit as a black box that is called as another is."""

    def run(
        a: AnyArray,
        b: AnyArray,
        c: AnyArray | None = None,
        scale_a: AnyArray | None = None,
        scale_b: AnyArray | None = None,
    ) -> AnyArray:
        d = matmul(a, b, c, unit=one.unit, scale_a=scale_a, scale_b=scale_b)
        return d if one.result == one.unit.d else cast(d, OPERANDS[one.result])

    types = (one.unit.a, one.unit.b, one.unit.c, one.result)
    return Device(run, types, like.addend, like.scale, like.scale_block, one.name)


def _bits(d: AnyArray) -> Bits:
    """Raw bits of a result, every NaN as one code: its payload is no property of the arithmetic."""
    word = np.dtype(f"u{d.dtype.itemsize}")
    raw = d.view(word)
    return raw if d.dtype.kind in "iu" else np.where(np.isnan(d), np.iinfo(word).max, raw)


def _answers(box: Device, plan: Sequence[Batch]) -> list[Bits]:
    return [_bits(box(p.a, p.b, p.c, p.scales)) for p in plan]


@lru_cache(maxsize=64)
def _plan(like: tuple[tuple[str, str, str, str], bool, str | None, int], step: int) -> tuple[Batch, ...]:
    return tuple(batches(*like, step))


def _expected(
    one: Candidate, like: tuple[tuple[str, str, str, str], bool, str | None, int], step: int
) -> tuple[Bits | None, ...]:
    """Answers of a unit to every batch; records that differ in name and evidence alone are run once."""
    return _run(Candidate("", replace(one.unit, name="unit", evidence=_NO_EVIDENCE), one.result), like, step)


@lru_cache(maxsize=256)
def _run(
    one: Candidate, like: tuple[tuple[str, str, str, str], bool, str | None, int], step: int
) -> tuple[Bits | None, ...]:
    """Answers of a unit to every batch; None where it refuses the shape."""
    found: list[Bits | None] = []
    box = _device(one, Device(matmul, *like))
    for p in _plan(like, step):
        try:
            found.append(_bits(box(p.a, p.b, p.c, p.scales)))
        except ValueError:
            found.append(None)
    return tuple(found)


def identify(
    matmul: Matmul,
    dtypes: str | Sequence[str],
    *,
    addend: bool | None = None,
    scale: str | None = None,
    scale_block: int = 0,
    describe: bool = True,
    progress: Callable[[str, float], None] | None = None,
) -> Identification:
    """Find the unit whose bits a matrix product gives, or describe how it differs from the nearest.

    The black box is called on 2-D NumPy arrays: about fifty products of 32 x K x 32, K up to 1024, and some hundred
    small ones for the probes. Every output is compared bit for bit with every unit of these types (a NaN equals any
    NaN; its code is one of the probes). Properties are measured on the black box alone: the order of additions by
    masks (FPRev), kept bits, rounding, subnormals, special values, integer overflow.

    Parameters
    ----------
    matmul : callable
        matmul(a, b), or matmul(a, b, c) if it has a parameter called `c`; with scale_a= and scale_b= (raw codes, uint8)
        if `scale`. a (M, K) and b (K, N) are of the dtypes that `chipmeter.matmul` takes.
    dtypes : str or sequence of str
        Types a.b.c.d, see `chipmeter.identification.device.parse_types`.
    addend : bool, optional
        Whether it takes c, in place of what its signature says.
    scale : {"ue8m0", "ue4m3"}, optional
        Type of block scales.
    scale_block : int
        Elements of K per scale.
    describe : bool
        Whether to run the property probes; without them only the bits are compared.
    progress : callable, optional
        Called with what is being done and the share that is finished, from 0 to 1.

    Returns
    -------
    Identification

    Raises
    ------
    TypeError, ValueError
        For unknown types, and for a callable that fails, answers with a wrong shape or dtype, or gives different bits
        for equal inputs.

    Examples
    --------
    >>> import chipmeter as cm
    >>> from functools import partial
    >>> identify(partial(cm.matmul, unit="v100/fp16"), "f16").matches
    ('volta/mma.f16.f16.f32.f32', 'turing/mma-k4.f16.f16.f32.f32')
    """
    box = device(matmul, dtypes, addend=addend, scale=scale, scale_block=scale_block)
    like = (box.types, box.addend, box.scale, box.scale_block)
    tell = progress or (lambda what, share: None)
    step = _settle(box)
    plan = _plan(like, step)
    tell("products", 0.0)
    given = _answers(box, plan)
    _check_deterministic(box, plan, given)
    every = candidates(*like)
    wrong: dict[str, tuple[int, int]] = {}
    answers: dict[str, tuple[Bits | None, ...]] = {}
    for number, one in enumerate(every):
        tell(one.name, 0.3 + 0.5 * number / len(every))
        answers[one.name] = _expected(one, like, step)
        compared = [(g, e) for g, e in zip(given, answers[one.name], strict=True) if e is not None]
        wrong[one.name] = (
            sum(int(np.count_nonzero(g != e)) for g, e in compared),
            sum(g.size for g, _ in compared),
        )
    classes = _classes(answers)
    matches = tuple(n for n, (bad, total) in wrong.items() if total and not bad)
    tell("properties", 0.8)
    probes = tuple(properties(box, step)) if describe else ()
    near = sorted(
        (c for c in classes if c[0] not in matches and wrong[c[0]][1]), key=lambda c: wrong[c[0]][0] / wrong[c[0]][1]
    )
    by_name = {one.name: one for one in every}
    nearest = []
    for group in near[: 1 if matches else 3]:
        name = group[0]
        seen = {p.name: p.value for p in probes}
        theirs = tuple(properties(_device(by_name[name], box), step)) if describe and not matches else ()
        differing = tuple(p for p in theirs if seen.get(p.name) != p.value)
        example = _example(plan, given, answers[name], box)
        nearest.append(Difference(name, wrong[name][1], wrong[name][0], example, differing))
    depths = sorted({p.a.shape[1] for p in plan})
    tell("done", 1.0)
    return Identification(
        box.types, matches, classes, tuple(nearest), probes, sum(g.size for g in given), (LINES, LINES, *depths)
    )


def _settle(box: Device) -> int:
    """Find the multiple of K that the black box takes."""
    first: ValueError | None = None
    for step in STEPS:
        a, b = (
            np.zeros(s, operand_dtype(t)) for s, t in (((LINES, step), box.types[0]), ((step, LINES), box.types[1]))
        )
        scales = None
        if box.scale is not None:
            codes = np.full((LINES, -(-step // box.scale_block)), 0x38, np.uint8)
            scales = codes, np.ascontiguousarray(codes.T)
        try:
            box(a, b, None, scales)
        except ValueError as error:
            if "must return" in str(error):
                raise
            first = first or error
        else:
            return step
    assert first is not None
    raise first


def _check_deterministic(box: Device, plan: Sequence[Batch], given: list[Bits]) -> None:
    for p, before in list(zip(plan, given, strict=True))[-6:]:
        again = _bits(box(p.a, p.b, p.c, p.scales))
        differing = int(np.count_nonzero(again != before))
        if differing:
            raise ValueError(
                f"{box.name} is not deterministic: {differing} of {before.size} outputs differ between two calls with "
                f"the same operands ({p.name})"
            )


def _classes(answers: dict[str, tuple[Bits | None, ...]]) -> tuple[tuple[str, ...], ...]:
    """Group units whose answers agree everywhere."""
    groups: dict[bytes, list[str]] = {}
    for name, bits in answers.items():
        key = b"".join(b"-" if x is None else np.ascontiguousarray(x).tobytes() for x in bits)
        groups.setdefault(key, []).append(name)
    return tuple(tuple(g) for g in groups.values())


def _example(plan: Sequence[Batch], given: list[Bits], expected: tuple[Bits | None, ...], box: Device) -> str:
    """Write the differing dot product with the fewest terms."""
    best: tuple[int, str] | None = None
    for p, g, e in zip(plan, given, expected, strict=True):
        if e is None or not (g != e).any():
            continue
        a, b = decoded(p.a, box.types[0]), decoded(p.b, box.types[1])
        where = np.argwhere(g != e)[:64]
        terms = [int(np.count_nonzero((a[i] != 0) & (b[:, j] != 0))) for i, j in where]
        i, j = where[int(np.argmin(terms))]
        count = min(terms)
        if best is not None and best[0] <= count:
            continue
        at = np.flatnonzero((a[i] != 0) & (b[:, j] != 0))
        shown = " + ".join(f"{_number(a[i, k])} * {_number(b[k, j])} [k={k}]" for k in at[:4])
        more = f" + {count - 4} more" if count > 4 else ""
        addend = "" if p.c is None else f" + c {_number(p.c[i, j])}"
        digits = 2 * g.dtype.itemsize
        text = f"{shown}{more}{addend}: here 0x{int(g[i, j]):0{digits}X}, there 0x{int(e[i, j]):0{digits}X} ({p.name}, [{i}, {j}])"
        best = count, text
    return "" if best is None else best[1]


def _number(x: np.generic) -> str:
    """Write a number exactly: integers in decimal, others in hexadecimal."""
    value = float(x)
    return str(int(value)) if value.is_integer() and abs(value) < 2**32 else value.hex()


def answers_of(box: Device) -> Iterator[tuple[Batch, AnyArray]]:
    """Run every product that is compared; yields it with the answer."""
    for p in _plan((box.types, box.addend, box.scale, box.scale_block), _settle(box)):
        yield p, box(p.a, p.b, p.c, p.scales)
