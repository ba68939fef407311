"""The records of serving under load: a draft, a point of a curve, and the curve."""

from __future__ import annotations

import math

import msgspec

from chipmeter.cost.ranges import Range
from chipmeter.workloads import Architecture


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """Speculative decoding: a small model drafts tokens that a step of the large one checks.

    Attributes
    ----------
    model : Architecture
    tokens : int
        Drafted before each check.
    acceptance : float
        Share of drafted tokens that hold, each given that those before it held.
    """

    model: Architecture
    tokens: int
    acceptance: float

    def __post_init__(self) -> None:
        if not 1 <= self.tokens <= 64:
            raise ValueError(f"draft tokens must lie from 1 to 64, got {self.tokens}")
        if not 0 <= self.acceptance < 1:
            raise ValueError(f"acceptance must lie from 0 to below 1, got {self.acceptance}")

    @property
    def per_step(self) -> float:
        """Tokens that a check yields on average: those that hold, and the one the check itself makes.

        >>> from chipmeter.workloads import preset
        >>> Draft(model=preset("llama-3.2-1b"), tokens=3, acceptance=0.5).per_step
        1.875
        """
        a = self.acceptance
        return (1.0 - a ** (self.tokens + 1)) / (1.0 - a)


class LoadPoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a load gets.

    Attributes
    ----------
    concurrency : float
        Requests in flight on the whole deployment.
    requests_per_second, tokens_per_second : Range
        Of the whole deployment; tokens of answers.
    ttft, tpot : Range
        Seconds to the first token, and between tokens.
    stall : float
        Seconds of the longest expected gap between two tokens: a step that reads a prompt, or a chunk of one.
    joules_per_token, dollars_per_million_tokens : Range or None
        Boards and rent of the whole deployment per token of answers.
    """

    concurrency: float
    requests_per_second: Range
    tokens_per_second: Range
    ttft: Range
    tpot: Range
    stall: float
    joules_per_token: Range | None
    dollars_per_million_tokens: Range | None


class ServingCurve(msgspec.Struct, frozen=True, kw_only=True):
    """Throughput against latency of a deployment.

    Attributes
    ----------
    model, chip : str
    chips : int
        Of the whole deployment.
    points : tuple of LoadPoint
        By growing load.
    asked : LoadPoint or None
        At the rate asked for; None without one, or where the deployment cannot keep up.
    room : float
        Requests whose whole cache fits at once.
    outside : bool
        Whether model or chip is outside what was measured.
    notes : tuple of str
    """

    model: str
    chip: str
    chips: int
    points: tuple[LoadPoint, ...]
    asked: LoadPoint | None
    room: float
    outside: bool
    notes: tuple[str, ...]

    def best(self, *, ttft: float = math.inf, tpot: float = math.inf) -> LoadPoint | None:
        """Find the point of most throughput that keeps limits of expected latency."""
        kept = [p for p in self.points if p.ttft.expected <= ttft and p.tpot.expected <= tpot]
        return max(kept, key=lambda p: p.tokens_per_second.expected, default=None)
