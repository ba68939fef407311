"""Claims on cost: dollars per unit of peak, and the price at which a claim begins to hold."""

from __future__ import annotations

from chipmeter import chips
from chipmeter.chips import Price
from chipmeter.claims.figures import finding, price, printed
from chipmeter.claims.records import Finding, Verdict
from chipmeter.claims.work import serving_break_evens, video
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
    findings += _other_readings(trn2, own)
    findings += serving_break_evens()
    findings += _measured_elsewhere()
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
            f"the saving at list price is {100 * min(savings):.0f} to {100 * max(savings):.0f} %, by the GPU and month chosen. On "
            "decoding, bound by memory bandwidth and overheads rather than peak, the price must be lower still."
        ),
    )


def _other_readings(trn2: Price, own: float) -> list[Finding]:
    """Compare per BF16 rate and per memory bandwidth, on demand, in narrow formats, and the use that a half would take."""
    bf16, wide = printed("trn2", "peak.bf16"), chips.chip("trn2").memory_bandwidth
    trn3_bf16 = printed("trn3", "peak.bf16")
    found = []
    for system, chip, kind, date in (
        ("p5en.48xlarge", "h200", "capacity-block", "2026-01"), ("p5.48xlarge", "h100", "on-demand", None),
        ("p6-b200.48xlarge", "b200", "capacity-block", "2026-06"), ("p6-b200.48xlarge", "b200", "capacity-block", None),
    ):  # fmt: skip
        paid, gpu = price(system, kind, date=date), chips.chip(chip)
        name = f"{chip} ({system}, {kind}, {paid.date})"
        flops = _per_peak(trn2, bf16) / _per_peak(paid, gpu.peak["bf16"])
        moved = trn2.dollars_per_chip_hour / wide.value / (paid.dollars_per_chip_hour / gpu.memory_bandwidth.value)
        narrow = own / _per_peak(paid, gpu.peak["fp8"])
        found += [
            finding(
                f"saving of Trainium2 against {name} per peak BF16", 100 * (1 - flops), "%", f"1 - {flops:.3f}", trn2, paid, bf16
            ),
            finding(
                f"saving of Trainium2 against {name} per memory bandwidth", 100 * (1 - moved), "%", f"1 - {moved:.3f}", trn2,
                paid, wide,
            ),
            finding(
                f"share of peak that Trainium2 must reach over {name}'s for half the cost, FP8", 2 * narrow, "",
                f"2 x {narrow:.3f}", trn2, paid,
            ),
        ]  # fmt: skip
    h200 = price("p5en.48xlarge", "capacity-block", date="2026-01")
    b200, nvfp4 = price("p6-b200.48xlarge", "capacity-block"), chips.chip("b200").peak["nvfp4"]
    cheap = chips.cheapest_price("b200")
    assert cheap is not None
    found += [
        finding(
            "price at which Trainium3 halves h200 (2026-01) per peak, BF16",
            0.5 * _per_peak(h200, chips.chip("h200").peak["bf16"]) * trn3_bf16.value / 1e15, "$/chip-h",
            f"0.5 x {_per_peak(h200, chips.chip('h200').peak['bf16']):.2f} x {trn3_bf16.value / 1e15:.3f} PFLOP/s", h200,
            trn3_bf16,
        ),
        finding(
            "b200 capacity block per peak NVFP4", _per_peak(b200, nvfp4), "$/PFLOP-h", "4-bit work is cheaper on Blackwell than "
            f"FP8 on Trainium2 at {own:.2f}", b200, nvfp4,
        ),
        finding(
            "b200 at the lowest on-demand price per peak FP8", _per_peak(cheap, chips.chip("b200").peak["fp8"]), "$/PFLOP-h",
            f"${cheap.dollars_per_chip_hour:.2f} per chip-hour: below Trainium2's capacity block, so the baseline decides", cheap,
        ),
    ]  # fmt: skip
    return found


def _measured_elsewhere() -> list[Finding]:
    """One comparison that others ran: the only one known with both throughputs and prices."""
    ours, theirs = (35.7608, 632.4), (63.158, 2359.0)
    cost = [hourly / rate / 3600 * 1e6 for hourly, rate in (ours, theirs)]
    return [
        finding(
            "cost of Trainium2 over H200 per answer token, GLM-5.3-Flash, 8k prompt and 256 answer tokens", cost[0] / cost[1], "",
            f"Kiln project, October 2026: {ours[1]} tokens/s at ${ours[0]} and {theirs[1]:.0f} at ${theirs[0]} an hour; a "
            "third-party engine, so a bound on one side only", "assumed",
        )
    ]  # fmt: skip


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
    findings += video()
    return (
        tuple(findings),
        ("the GPU is an H200 or a B200 at capacity-block price", "four times faster means four times the frames"),
        "not reproducible",
        (
            "GPU, model, resolution and the price of Trainium3 are not stated, and the two readings differ by a factor of "
            "four: half per frame at four times the speed lets the Trainium3 share cost twice the GPU per hour, half per "
            "hour makes a frame an eighth. Four times the frames of one GPU are more than the peak of one Trainium3 in BF16, "
            "so the comparison is of unlike numbers of chips or of unlike software."
        ),
    )
