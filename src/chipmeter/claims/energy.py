"""Claims on energy: no power of any Trainium is published, so each becomes the power at which it would hold."""

from __future__ import annotations

from chipmeter import chips
from chipmeter.claims.figures import finding, printed
from chipmeter.claims.records import Finding, Verdict

_READINGS = (
    ("40 % less energy", 0.60), ("40 % more efficient", 1 / 1.4), ("4 times as efficient", 1 / 4),
    ("5 times the tokens per megawatt", 1 / 5),
)  # fmt: skip
_GAIN = 3.0
"""Throughput per chip on gpt-oss-120b that AWS's own comparison shows."""


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
    new, old = chips.system("trn3_ultraserver_gen2").chips, chips.system("trn2u_ultraserver").chips
    watts = {name: next(c for c in chips.chip(name).conflicts if c.field == "tdp") for name in ("trn2", "trn3")}
    ratio = watts["trn3"].value / watts["trn2"].value
    findings += [
        finding(
            "40 % less energy: most power of Trainium3 over Trainium2 at three times the throughput per chip", 0.6 * _GAIN, "",
            f"0.60 of the energy x {_GAIN:.0f} times the tokens of a chip, AWS on gpt-oss-120b", "assumed",
        ),
        finding(
            "4 times as efficient: most power of the UltraServer over Trainium2's", new / old * compute / 4, "",
            f"{new / old:.2f} times the chips x {compute:.2f} of the peak over 4: no nameplate allows it", mx, plain, "assumed",
        ),
        finding(
            "peak per watt of Trainium3 over Trainium2, at the powers in circulation", compute / ratio, "",
            f"{compute:.2f} over {watts['trn3'].value:.0f} W / {watts['trn2'].value:.0f} W, neither a specification", mx, plain,
            "assumed",
        ),
        finding(
            "memory bandwidth per watt, at the same powers", memory / ratio, "", f"{memory:.2f} over {ratio:.1f}", wide, narrow,
            "assumed",
        ),
    ]  # fmt: skip
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
    rubin = chips.chip("rubin")
    fp4 = new.peak["mxfp4"]
    against = (
        finding(
            "Trainium4 over Rubin, FP4", fp4.value / rubin.peak["nvfp4"].value, "",
            f"{fp4.value / 1e15:.1f} over {rubin.peak['nvfp4'].value / 1e15:.0f} PFLOP/s", fp4, rubin.peak["nvfp4"],
        ),
        finding(
            "Trainium4 over Rubin, memory bandwidth", new.memory_bandwidth.value / rubin.memory_bandwidth.value, "",
            f"{new.memory_bandwidth.value / 1e12:.1f} over {rubin.memory_bandwidth.value / 1e12:.0f} TB/s",
            new.memory_bandwidth, rubin.memory_bandwidth,
        ),
    )  # fmt: skip
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
        (*findings, *against),
        ("the announced ratios are per chip", "both reach the same share of peak"),
        "not reproducible",
        (
            f"No source that could be read says that it halves energy, and no power is published. It would follow if a "
            f"Trainium4 draws at most {findings[0].value:.2f} times a Trainium3 for FP8 work, {findings[2].value:.2f} for work "
            "bound by memory."
        ),
    )
