"""Claims on energy: no power of any Trainium is published, so each becomes the power at which it would hold."""

from __future__ import annotations

from chipmeter import chips
from chipmeter.claims.figures import finding, printed
from chipmeter.claims.records import Finding, Verdict

_READINGS = (("40 % less energy", 0.60), ("40 % more efficient", 1 / 1.4), ("4 times as efficient", 1 / 4))


def trainium3() -> tuple[tuple[Finding, ...], tuple[str, ...], Verdict, str]:
    """Find the ratio of chip powers that each reading allows at equal shares of peak, compute- and bandwidth-bound."""
    mx, plain = printed("trn3", "peak.mxfp8"), printed("trn2", "peak.fp8")
    wide, narrow = chips.chip("trn3").memory_bandwidth, chips.chip("trn2").memory_bandwidth
    compute, memory = mx.value / plain.value, wide.value / narrow.value
    findings = []
    for reading, energy in _READINGS:
        findings += [
            finding(
                f"{reading}: most power of Trainium3 over Trainium2, work bound by compute",
                energy * compute,
                "",
                f"{energy:.2f} of the energy x {compute:.2f} of the peak rate",
                mx,
                plain,
            ),
            finding(
                f"{reading}: the same, work bound by memory bandwidth",
                energy * memory,
                "",
                f"{energy:.2f} of the energy x {memory:.2f} of the bandwidth",
                wide,
                narrow,
            ),
        ]
    return (
        tuple(findings),
        ("both chips reach the same share of peak", "energy of the chips alone, without host, network and cooling"),
        "not reproducible",
        (
            f"AWS publishes no power. 40 % less energy at peak needs a Trainium3 of at most {0.6 * compute:.2f} times the "
            f"power of a Trainium2; the secondary figures there are (500 W and over 1,000 W) would double it. The three "
            "numbers in circulation (40 %, 4 times, 5 times per megawatt) are three different statements."
        ),
    )


def trainium4() -> tuple[tuple[Finding, ...], tuple[str, ...], Verdict, str]:
    """Find the power ratio at which energy per operation halves, from the announced ratios."""
    new, old = chips.chip("trn4"), chips.chip("trn3")
    base = printed("trn3", "peak.mxfp8")
    ratios = (
        ("FP8", new.peak["mxfp8"], base),
        ("FP4, which on Trainium3 runs at the FP8 rate", new.peak["mxfp4"], base),
        ("memory bandwidth", new.memory_bandwidth, old.memory_bandwidth),
    )
    findings = tuple(
        finding(
            f"most power of Trainium4 over Trainium3 that halves energy, bound by {what}",
            0.5 * a.value / b.value,
            "",
            f"0.5 x {a.value / b.value:.2f}",
            a,
            b,
        )
        for what, a, b in ratios
    )
    return (
        findings,
        ("the announced ratios are per chip", "both reach the same share of peak"),
        "not reproducible",
        (
            f"No source that could be read says that it halves energy, and no power is published. It would follow if a "
            f"Trainium4 draws at most {findings[0].value:.2f} times a Trainium3 for FP8 work, {findings[2].value:.2f} for work "
            "bound by memory."
        ),
    )
