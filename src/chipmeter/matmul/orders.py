"""What a library adds around a matrix unit, as data: how K is cut and put together again, emulation, the epilogue."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from chipmeter.evidence import Evidence
from chipmeter.formats.policies import Rounding

Combine = Literal["serial", "pairwise"]
Result = Literal["f32", "bf16", "f16", "e4m3", "e5m2"]


def _choice(record: str, field: str, value: object, accepted: tuple[str, ...]) -> None:
    if value not in accepted:
        raise ValueError(f"{record}: {field} must be one of {', '.join(accepted)}, got {value!r}")


def _count(record: str, field: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{record}: {field} must be an integer in {least}..{most}, got {value!r}")


@dataclass(frozen=True)
class SplitK:
    """K cut into parts, each a fresh chain from +0; the partial results are added in the accumulator's type.

    Parameters
    ----------
    splits : int
        Parts; those that would be empty do not exist.
    combine : {"serial", "pairwise"}
        ((p0 + p1) + p2) + ..., or neighbours level by level, the last of an odd number going up unchanged.
    tile : int
        Elements of K that stay together.
    assign : {"contiguous", "strided"}
        Runs of ceil(tiles / splits) tiles (cuBLASLt on an H100), or tile t to part t modulo splits (on an RTX 4060).

    Examples
    --------
    >>> SplitK(2, tile=64).parts(200)
    (((0, 128),), ((128, 200),))
    >>> SplitK(2, tile=64, assign="strided").parts(200)
    (((0, 64), (128, 192)), ((64, 128), (192, 200)))
    """

    splits: int
    combine: Combine = "serial"
    tile: int = 128
    assign: Literal["contiguous", "strided"] = "contiguous"

    def __post_init__(self) -> None:
        _count("SplitK", "splits", self.splits, 1, 1 << 20)
        _count("SplitK", "tile", self.tile, 1, 1 << 30)
        _choice("SplitK", "combine", self.combine, get_args(Combine))
        _choice("SplitK", "assign", self.assign, ("contiguous", "strided"))

    def parts(self, k: int) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Ranges of K of every part."""
        tiles = [(at, min(at + self.tile, k)) for at in range(0, k, self.tile)]
        if self.assign == "strided":
            return tuple(tuple(tiles[s :: self.splits]) for s in range(min(self.splits, len(tiles))))
        run = -(-len(tiles) // self.splits)
        return tuple(((tiles[s][0], tiles[min(s + run, len(tiles)) - 1][1]),) for s in range(0, len(tiles), run))


@dataclass(frozen=True)
class StreamK:
    """Stream-K (Osama et al., arXiv:2301.03598): all iterations of all output tiles in one row, cut evenly over workers.

    Output tiles are numbered row by row. Worker w takes iterations w * q to (w + 1) * q with q = ceil(all / workers);
    where a border falls inside an output tile, the tile is the sum of parts. The part that begins at k = 0 comes first
    and the others are added with k ascending, each a fresh chain from +0. A library's own fix-up order may differ.

    Examples
    --------
    Two output tiles of three iterations over four workers:

    >>> StreamK(4, 128, 128, 32).cuts(128, 256, 96)
    {(0, 0): (0, 64, 96), (0, 128): (0, 32, 96)}
    """

    workers: int
    tile_m: int = 128
    tile_n: int = 128
    tile_k: int = 32

    def __post_init__(self) -> None:
        for field in ("workers", "tile_m", "tile_n", "tile_k"):
            _count("StreamK", field, getattr(self, field), 1, 1 << 30)

    def cuts(self, m: int, n: int, k: int) -> dict[tuple[int, int], tuple[int, ...]]:
        """Borders along K of each output tile, by its first row and column."""
        tiles = [(i, j) for i in range(0, m, self.tile_m) for j in range(0, n, self.tile_n)]
        each = -(-k // self.tile_k)
        share = -(-len(tiles) * each // self.workers)
        found = {}
        for t, tile in enumerate(tiles):
            start = t * each
            inside = range(-(-start // share) * share, start + each, share)
            borders = {0, *(self.tile_k * (at - start) for at in inside), k}
            found[tile] = tuple(sorted(borders))
        return found


@dataclass(frozen=True)
class Promote:
    """A fresh chain from +0 every so many k, added to an accumulator outside the matrix unit.

    Parameters
    ----------
    every : int
        Elements of K per chain; 0: one instruction or tile of the unit.
    start : {"zero", "overwrite"}
        Whether the first chain is added to +0 or overwrites.
    accumulator : {"f32", "bf16"}
        Type of the outer accumulator: each addition is one in float32, rounded to it. The product has this type.
    rounding : {"nearest-even", "stochastic"}
        Of each write to a bf16 accumulator. Stochastic: 32 bits per write, Philox4x32-10 with this seed at
        counter chain * outputs + output; a device's own generator is not published.
    scaled : bool
        Whether each chain is multiplied by its own scales as it is added: total = fma(RN(sa * sb), part, total), with
        `scale_a` (..., M, chains) and `scale_b` (..., chains, N) in float32.

    Examples
    --------
    >>> Promote(128, accumulator="bf16").start
    'zero'
    """

    every: int = 128
    start: Literal["zero", "overwrite"] = "zero"
    accumulator: Literal["f32", "bf16"] = "f32"
    rounding: Literal["nearest-even", "stochastic"] = "nearest-even"
    seed: int = 0
    scaled: bool = False

    def __post_init__(self) -> None:
        _count("Promote", "every", self.every, 0, 1 << 30)
        _count("Promote", "seed", self.seed, 0, (1 << 64) - 1)
        _choice("Promote", "start", self.start, ("zero", "overwrite"))
        _choice("Promote", "accumulator", self.accumulator, ("f32", "bf16"))
        _choice("Promote", "rounding", self.rounding, ("nearest-even", "stochastic"))
        if self.rounding == "stochastic" and self.accumulator == "f32":
            raise ValueError(
                "Promote: stochastic rounding goes with accumulator='bf16', a float32 sum has nothing to cut"
            )
        if self.scaled and (self.accumulator, self.start) != ("f32", "zero"):
            raise ValueError("Promote: scaled chains go with accumulator='f32' and start='zero'")


@dataclass(frozen=True)
class Bf16Terms:
    """Float32 operands as sums of bfloat16 terms; the products of terms run on a bf16 unit in a stated order.

    Parameters
    ----------
    parts : {2, 3}
        Terms per operand: x0 = bf16(x), x1 = bf16(x - x0), x2 = bf16(x - x0 - x1), the differences in float32, exact.
    products : tuple of (int, int)
        Terms of A and B, in the order in which their products are accumulated.
    split : {"nearest-even", "toward-zero"}
        How all terms but the last are rounded; the last always to nearest even.
    combine : {"chain", "add"}
        Whether a product's result is the next one's accumulator, or each starts at +0 and float32 additions follow.
    clear_nan : bool
        Whether a NaN in the sum becomes 0 before the last product: an infinite operand has NaN for its second term.
    """

    parts: int
    products: tuple[tuple[int, int], ...]
    split: Literal["nearest-even", "toward-zero"] = "nearest-even"
    combine: Literal["chain", "add"] = "chain"
    clear_nan: bool = True

    def __post_init__(self) -> None:
        _count("Bf16Terms", "parts", self.parts, 2, 3)
        _choice("Bf16Terms", "split", self.split, ("nearest-even", "toward-zero"))
        _choice("Bf16Terms", "combine", self.combine, ("chain", "add"))
        if not self.products or any(not (0 <= i < self.parts and 0 <= j < self.parts) for i, j in self.products):
            raise ValueError(f"Bf16Terms: products must be pairs of terms below {self.parts}, got {self.products!r}")


@dataclass(frozen=True)
class Ozaki:
    """Float64 products from int8 ones, as ozIMMU cuts them (Ootomo et al., arXiv:2306.11975; source read 2026-08).

    Every row of A and column of B is divided by a power of two above its largest magnitude and cut toward zero into
    signed digits of `bits` bits, most significant first. Int8 products of slice i of A and j of B with i + j <= slices + 1
    run on an int8 unit; each is converted to float64, scaled by a power of two and added, i + j ascending, then i.

    The int8 part is exact while K * (2^bits - 1)^2 < 2^31; wider digits are refused. Nothing of the operands is cut off
    when bits * slices covers every row's exponent spread plus 53; products of the last slices are left out in any case.

    Parameters
    ----------
    slices : int, optional
        Default: as many as hold every operand entirely, at most 128 // bits.
    bits : int, optional
        Default: the most, up to 7, that K allows.
    """

    slices: int | None = None
    bits: int | None = None

    def __post_init__(self) -> None:
        if self.slices is not None:
            _count("Ozaki", "slices", self.slices, 1, 128)
        if self.bits is not None:
            _count("Ozaki", "bits", self.bits, 1, 7)

    def digit_bits(self, k: int) -> int:
        """Bits per digit for a depth of k.

        >>> Ozaki().digit_bits(1024), Ozaki().digit_bits(1 << 18)
        (7, 6)
        """
        most = next((b for b in range(7, 0, -1) if k * (2**b - 1) ** 2 < 2**31), 0)
        if self.bits is not None and self.bits > most:
            raise ValueError(
                f"Ozaki: digits of {self.bits} bits may overflow 32-bit sums at K = {k}; at most {most} fit"
            )
        if most == 0:
            raise ValueError(f"Ozaki: K = {k} is too deep for 32-bit sums of one-bit digits")
        return most if self.bits is None else self.bits


@dataclass(frozen=True)
class Epilogue:
    """What follows the product: y = alpha * acc (+ beta * c) (+ bias), scaled and converted.

    Rounding: alpha' = RN(alpha * RN(scale_a * scale_b)); y = fma(alpha', acc, RN(beta * c)), or fma(alpha', acc, +0)
    without c; y = RN(y + bias); all in float32, to which s32 accumulators are rounded first. Then bf16 and f16 round y by
    `rounding` (a second rounding); e4m3 and e5m2 multiply it by `result_scale` in float32, saturate to the largest
    finite value, infinity included, and round by `rounding`. NaN becomes 0x7FFFFFFF, 0x7FFF or 0x7F.

    Parameters
    ----------
    alpha, beta : float
        Rounded to float32. `c` is accepted exactly when beta is not 0.
    output : {"f32", "bf16", "f16", "e4m3", "e5m2"}
    result_scale : float, optional
        For 8-bit outputs.
    rounding : str
        Of the conversion to a 16-bit or 8-bit output, as in `chipmeter.cast`. "stochastic" takes 32 bits per element of
        Philox4x32-10 with `seed`, at the element's index.
    seed : int
    """

    alpha: float = 1.0
    beta: float = 0.0
    output: Result = "f32"
    result_scale: float | None = None
    rounding: Rounding = "nearest-even"
    seed: int = 0

    def __post_init__(self) -> None:
        _choice("Epilogue", "output", self.output, get_args(Result))
        _choice("Epilogue", "rounding", self.rounding, get_args(Rounding))
        _count("Epilogue", "seed", self.seed, 0, (1 << 64) - 1)
        if self.output == "f32" and self.rounding != "nearest-even":
            raise ValueError(f"Epilogue: a float32 output is not converted, rounding={self.rounding!r} has no meaning")
        for field in ("alpha", "beta", "result_scale"):
            value = getattr(self, field)
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value)
            ):
                raise ValueError(f"Epilogue: {field} must be a number, got {value!r}")
        if self.result_scale is not None and self.output not in ("e4m3", "e5m2"):
            raise ValueError(f"Epilogue: result_scale goes with an 8-bit output, got output={self.output!r}")


@dataclass(frozen=True)
class Gemm:
    """The order of a GEMM and its epilogue, with evidence.

    Parameters
    ----------
    order : SplitK, StreamK, Promote, Bf16Terms or Ozaki, optional
        Default: one chain per output over k ascending.
    epilogue : Epilogue, optional
        Default: none; the accumulator is the result.
    evidence : Evidence, optional
        None: an order of the caller's own.

    Examples
    --------
    >>> Gemm(Promote(128), Epilogue(output="bf16")).epilogue
    Epilogue(alpha=1.0, beta=0.0, output='bf16', result_scale=None, rounding='nearest-even', seed=0)
    """

    order: SplitK | StreamK | Promote | Bf16Terms | Ozaki | None = None
    epilogue: Epilogue | None = None
    evidence: Evidence | None = None
