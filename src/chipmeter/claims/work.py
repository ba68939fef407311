"""What the cost model gives for the kinds of work that claims speak of: answering prompts, and generating video."""

from __future__ import annotations

from chipmeter.claims.figures import finding, price
from chipmeter.claims.records import Finding
from chipmeter.cost import BreakEven, Estimate, Range, break_even, estimate
from chipmeter.workloads import Generation

VIDEO = Generation(width=832, height=480, frames=81, steps=4, guided=False, compiled=True)
"""A second or more of video from a distilled model: what real time takes, since Decart's own model is not published."""

GPUS = (("p5en.48xlarge", "h200", "2026-01"), ("p6-b200.48xlarge", "b200", None))


def _ends(of: Range) -> str:
    return f"{of.low:.2f} to {of.high:.2f}"


def _even(system: str, date: str | None, new: Estimate, old: Estimate) -> BreakEven:
    found = break_even(new, old)
    assert found.dollars_per_chip_hour is not None, (system, date)
    return found


def serving_break_evens() -> list[Finding]:
    """Find the price of Trainium3 that halves the cost of answering, Llama 3.1 70B, 64 requests, 4,096 tokens deep."""
    asked = {"phase": "decode", "batch": 64, "context": 4096}
    new = estimate("llama-3.1-70b", "trn3", format="mxfp8", **asked)  # type: ignore[arg-type]
    found = []
    for system, chip, date in GPUS:
        paid = price(system, "capacity-block", date=date)
        old = estimate("llama-3.1-70b", system=system, format="fp8", price=paid, **asked)  # type: ignore[arg-type]
        limit = _even(system, date, new, old).dollars_per_chip_hour
        assert limit is not None
        found.append(
            finding(
                f"price at which Trainium3 halves {chip} ({paid.date}) on decoding Llama 3.1 70B, MXFP8 over FP8",
                limit.expected,
                "$/chip-h",
                f"the cost model's times on {new.chips} and {old.chips} chips; from {_ends(limit)} by their intervals: no "
                "Trainium3 was measured",
                paid,
                "assumed",
            )
        )
    return found


def video() -> list[Finding]:
    """Find frames per second of a video model, and the price of Trainium3 that halves the cost of a frame."""
    new = estimate("wan2.1-1.3b", "trn3", picture=VIDEO)
    rate = new.units_per_second_range
    found = [
        finding(
            "frames per second of a 1.3 G video model on one Trainium3, BF16",
            rate.expected,
            "",
            f"832 x 480, 81 frames, 4 steps; from {_ends(rate)}: no Trainium3 was measured",
            "assumed",
        )
    ]
    for system, chip, date in GPUS:
        paid = price(system, "capacity-block", date=date)
        old = estimate("wan2.1-1.3b", system=system, picture=VIDEO, price=paid)
        limit = _even(system, date, new, old).dollars_per_chip_hour
        assert limit is not None
        found += [
            finding(
                f"the same on one {chip}",
                old.units_per_second,
                "",
                f"from {_ends(old.units_per_second_range)}",
                "assumed",
            ),
            finding(
                f"price at which Trainium3 halves {chip} ({paid.date}) per frame",
                limit.expected,
                "$/chip-h",
                f"from {_ends(limit)} by the intervals of both times",
                paid,
                "assumed",
            ),
            finding(
                f"share of peak that Trainium3 must reach for four times the frames of one {chip}",
                4 * new.flops / new.units * old.units_per_second / _peak(new),
                "",
                f"4 x {old.units_per_second:.1f} frames/s x {new.flops / new.units / 1e12:.1f} TFLOP over the peak in BF16; "
                "above 1 one chip cannot",
                "assumed",
            ),
        ]
    return found


def _peak(of: Estimate) -> float:
    """FLOP/s of the chips of an estimate, by what it says it reaches."""
    return of.flops / of.seconds / of.mfu
