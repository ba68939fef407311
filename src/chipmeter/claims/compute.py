"""Claims on compute."""

from __future__ import annotations

from chipmeter import chips
from chipmeter.claims.figures import finding, printed
from chipmeter.claims.records import Finding, Verdict


def trainium3() -> tuple[tuple[Finding, ...], tuple[str, ...], Verdict, str]:
    """Compare Trn3 and Trn2 UltraServers: peak rates in several formats, and memory bandwidth."""
    new, old = chips.system("trn3_ultraserver_gen2"), chips.system("trn2u_ultraserver")
    mx, plain = printed("trn3", "peak.mxfp8"), printed("trn2", "peak.fp8")
    bf16_new, bf16_old = printed("trn3", "peak.bf16"), printed("trn2", "peak.bf16")
    fp8_new = chips.chip("trn3").peak["fp8"]
    bandwidth_new, bandwidth_old = chips.chip("trn3").memory_bandwidth, chips.chip("trn2").memory_bandwidth
    counts = new.chips / old.chips
    system = counts * mx.value / plain.value
    findings: tuple[Finding, ...] = (
        finding(
            "UltraServer against UltraServer, MXFP8 over FP8",
            system,
            "",
            f"{new.chips} x {mx.value / 1e12:.0f} over {old.chips} x {plain.value / 1e12:.0f} TFLOP/s",
            mx,
            plain,
        ),
        finding("of which more chips", counts, "", f"{new.chips} over {old.chips} chips", "documented"),
        finding("chip against chip, MXFP8 over FP8", mx.value / plain.value, "", "peak over peak", mx, plain),
        finding("chip against chip, FP8 over FP8", fp8_new.value / plain.value, "", "peak over peak", fp8_new, plain),
        finding("chip against chip, BF16", bf16_new.value / bf16_old.value, "", "peak over peak", bf16_new, bf16_old),
        finding("UltraServers of 64 chips, MXFP8 over FP8", mx.value / plain.value, "", "64 chips both", mx, plain),
        finding(
            "UltraServer memory bandwidth",
            counts * bandwidth_new.value / bandwidth_old.value,
            "",
            f"{new.chips} x {bandwidth_new.value / 1e12:.1f} over {old.chips} x {bandwidth_old.value / 1e12:.1f} TB/s",
            bandwidth_new,
            bandwidth_old,
        ),
    )
    plainly = printed("trn2", "peak.fp32"), printed("trn3", "peak.fp32")
    memory = chips.chip("trn3").memory, chips.chip("trn2").memory
    fp4 = chips.chip("trn3").peak["mxfp4"]
    engine = chips.chip("trn3").peak["mxfp8"], chips.chip("trn2").peak["fp8"]
    findings += (
        finding(
            "UltraServer, BF16", counts * bf16_new.value / bf16_old.value, "",
            f"{new.chips} x {bf16_new.value / 1e12:.0f} over {old.chips} x {bf16_old.value / 1e12:.0f} TFLOP/s", bf16_new,
            bf16_old,
        ),
        finding("chip against chip, FP32", plainly[1].value / plainly[0].value, "", "peak over peak", *plainly),
        finding(
            "UltraServer memory capacity", counts * memory[0].value / memory[1].value, "",
            f"{new.chips} x {memory[0].value / 2**30:.0f} over {old.chips} x {memory[1].value / 2**30:.0f} GiB", *memory,
        ),
        finding("MXFP4 over MXFP8 on Trainium3", fp4.value / chips.chip("trn3").peak["mxfp8"].value, "", "peak over peak", fp4),
        finding(
            "chip against chip, matrix engine alone, MXFP8 over FP8", engine[0].value / engine[1].value, "",
            f"{engine[0].value / 1e12:.0f} over {engine[1].value / 1e12:.0f} TFLOP/s: what a share of peak is a share of",
            *engine,
        ),
    )  # fmt: skip
    return (
        findings,
        ("144 chips are compared with 64", "work that ran in FP8 runs in MXFP8", "peak rates, not achieved ones"),
        "holds if",
        (
            f"a system of {counts:.2f} times the chips is compared and FP8 work moves to MXFP8: {system:.2f} at peak. Per chip "
            f"it is {mx.value / plain.value:.2f} in MXFP8, and {bf16_new.value / bf16_old.value:.2f} in BF16."
        ),
    )
