"""Claims on cost: dollars per unit of peak, and the price at which a claim begins to hold."""

from __future__ import annotations

from chipmeter import chips
from chipmeter.chips import Price
from chipmeter.claims.figures import finding, price, printed
from chipmeter.claims.records import Finding, Verdict
from chipmeter.evidence import Figure

_GPUS = (
    ("p5en.48xlarge", "h200", "2026-01"),
    ("p5en.48xlarge", "h200", None),
    ("p6-b200.48xlarge", "b200", None),
    ("u-p6e-gb200x72", "gb200", None),
)


def _per_peak(paid: Price, peak: Figure) -> float:
    """Dollars per hour for one PFLOP/s."""
    return paid.dollars_per_chip_hour / (peak.value / 1e15)


def half_cost() -> tuple[tuple[Finding, ...], tuple[str, ...], Verdict, str]:
    """Compare capacity blocks per peak FP8 rate, and find the price of Trainium3 that would halve them."""
    trn2, trn2_peak = price("trn2.48xlarge", "capacity-block"), printed("trn2", "peak.fp8")
    trn3_peak = printed("trn3", "peak.mxfp8")
    own = _per_peak(trn2, trn2_peak)
    findings = [
        finding(
            "Trainium2 capacity block per peak FP8",
            own,
            "$/PFLOP-h",
            f"${trn2.dollars_per_chip_hour:.3f} over {trn2_peak.value / 1e15:.3f} PFLOP/s",
            trn2,
            trn2_peak,
        )
    ]
    savings, limits = [], []
    for system, chip, date in _GPUS:
        paid, peak = price(system, "capacity-block", date=date), chips.chip(chip).peak["fp8"]
        gpu = _per_peak(paid, peak)
        when = paid.date or "undated"
        savings.append(1 - own / gpu)
        limits.append(0.5 * gpu * trn3_peak.value / 1e15)
        findings += [
            finding(
                f"saving of Trainium2 against {chip} ({system}, {when}) per peak FP8",
                100 * savings[-1],
                "%",
                f"1 - {own:.2f} over {gpu:.2f} $/PFLOP-h",
                paid,
                peak,
                trn2,
                trn2_peak,
            ),
            finding(
                f"price at which Trainium3 halves {chip} ({when}) per peak, MXFP8 over FP8",
                limits[-1],
                "$/chip-h",
                f"0.5 x {gpu:.2f} x {trn3_peak.value / 1e15:.3f} PFLOP/s",
                paid,
                peak,
                trn3_peak,
            ),
        ]
    return (
        tuple(findings),
        (
            "both reach the same share of their peak",
            "capacity-block prices on both sides",
            "no price of Trainium3 is published",
        ),
        "holds if",
        (
            f"Trainium3 rents below ${limits[0]:.2f} per chip-hour (against H200 at its price of January 2026; "
            f"${min(limits):.2f} to ${max(limits):.2f} over the GPUs listed) and reaches the GPU's share of peak. For Trainium2 "
            f"the saving at list price is {100 * min(savings):.0f} to {100 * max(savings):.0f} %, by the GPU and month chosen."
        ),
    )


def decart() -> tuple[tuple[Finding, ...], tuple[str, ...], Verdict, str]:
    """Read the sentence both ways: cost per frame, and cost per hour."""
    findings = []
    for system, chip, date in (("p5en.48xlarge", "h200", "2026-01"), ("p6-b200.48xlarge", "b200", None)):
        paid = price(system, "capacity-block", date=date)
        hour = paid.dollars_per_chip_hour
        findings += [
            finding(
                f"price of as much Trainium3 as does the work of four {chip}, if half is per frame",
                2 * hour,
                "$/h",
                f"4 x the frames at 0.5 x the cost of each: 2 x ${hour:.2f}",
                paid,
            ),
            finding(
                f"cost per frame against {chip}, if half is per hour",
                0.5 / 4,
                "",
                "0.5 x the dollars per hour over 4 x the frames",
                paid,
            ),
        ]
    return (
        tuple(findings),
        ("the GPU is an H200 or a B200 at capacity-block price", "four times faster means four times the frames"),
        "not reproducible",
        (
            "GPU, model, resolution and the price of Trainium3 are not stated, and the two readings differ by a factor of "
            "four: half per frame at four times the speed lets the Trainium3 share cost twice the GPU per hour, half per "
            "hour makes a frame an eighth."
        ),
    )
