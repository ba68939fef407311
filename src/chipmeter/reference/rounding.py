"""Rounding by its definition: the division of two integers, and what becomes of the remainder."""

from __future__ import annotations

from typing import Literal, get_args

Rounding = Literal[
    "nearest-even", "nearest-even-code", "nearest-away", "toward-zero", "up", "down", "odd", "stochastic"
]


def round_quotient(
    numerator: int,
    denominator: int,
    rounding: Rounding,
    *,
    negative: bool = False,
    odd: bool | None = None,
    random: int = 0,
    random_bits: int = 0,
) -> int:
    """Round the magnitude numerator / denominator to an integer.

    Parameters
    ----------
    numerator, denominator : int
        numerator >= 0, denominator > 0.
    rounding : str
        "nearest-even" and "nearest-away" say where a tie goes; "up" and "down" are toward +inf and -inf of the signed
        number; "odd" sets the last bit of an inexact result (von Neumann rounding); "stochastic" adds `random` below
        the last place: up iff floor(d * 2^random_bits) + random >= 2^random_bits, d being the part cut off.
    negative : bool
        Sign of the number, for "up" and "down".
    odd : bool, optional
        Whether the code below is odd, for "nearest-even-code"; by default that of the truncated quotient.
    random, random_bits : int
        For "stochastic": a uniform integer 0 <= random < 2^random_bits.

    Examples
    --------
    >>> [round_quotient(n, 2, "nearest-even") for n in (1, 2, 3, 5)]
    [0, 1, 2, 2]
    >>> [round_quotient(1, 4, "stochastic", random=r, random_bits=2) for r in range(4)]
    [0, 0, 0, 1]
    """
    below, rest = divmod(numerator, denominator)
    if rounding in ("nearest-even", "nearest-even-code"):
        tie_up = below % 2 == 1 if odd is None or rounding == "nearest-even" else odd
        return below + (2 * rest > denominator or (2 * rest == denominator and tie_up))
    if rounding == "nearest-away":
        return below + (2 * rest >= denominator)
    if rounding == "toward-zero":
        return below
    if rounding in ("up", "down"):
        return below + (rest > 0 and negative == (rounding == "down"))
    if rounding == "odd":
        return below | (rest > 0)
    if rounding == "stochastic":
        if random_bits < 1 or not 0 <= random < 1 << random_bits:
            raise ValueError(
                f"stochastic rounding needs 0 <= random < 2^random_bits, got {random} of {random_bits} bits"
            )
        return below + ((rest << random_bits) // denominator + random >= 1 << random_bits)
    raise ValueError(f"rounding must be one of {', '.join(get_args(Rounding))}, got {rounding!r}")


def floor_log2(numerator: int, denominator: int = 1) -> int:
    """Find the exponent e with 2^e <= numerator / denominator < 2^(e + 1), both positive, from the bits.

    >>> floor_log2(1, 3), floor_log2(8)
    (-2, 3)
    """
    guess = numerator.bit_length() - denominator.bit_length()
    return guess if numerator << max(-guess, 0) >= denominator << max(guess, 0) else guess - 1
