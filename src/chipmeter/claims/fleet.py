"""Claims on fleets: what a million chips amount to, what an AI factory costs, what training takes in chip-hours."""

from __future__ import annotations

from chipmeter import chips
from chipmeter.claims.figures import finding, price, printed
from chipmeter.claims.records import Finding, Verdict
from chipmeter.cost import ownership
from chipmeter.cost.site import HOURS, site

_MILLION = 1e6
_FACTORY_GPUS, _USED = 3000, 0.9
_FLOOR = site()
_YEARS, _PUE = round(_FLOOR.years.expected), _FLOOR.pue.expected
_DOLLARS_PER_KWH, _HOST_WATTS = _FLOOR.dollars_per_kwh.expected, _FLOOR.host_watts.expected
_MFU = (0.35, 0.55)
"""What published Ironwood and TPU v5p recipes reach on dense models."""
_EXAMPLE_PARAMETERS, _EXAMPLE_TOKENS = 100e9, 10e12


def million_chips() -> tuple[tuple[Finding, ...], tuple[str, ...], Verdict, str]:
    """Work out compute and list price of a million Trainium2."""
    peak, paid = printed("trn2", "peak.bf16"), price("trn2.48xlarge", "capacity-block")
    yearly = _MILLION * paid.dollars_per_chip_hour * HOURS
    findings: tuple[Finding, ...] = (
        finding(
            "peak of a million Trainium2, BF16",
            _MILLION * peak.value / 1e21,
            "ZFLOP/s",
            f"1e6 x {peak.value / 1e12:.0f} TFLOP/s",
            peak,
        ),
        finding(
            "rent of all of them at capacity-block price",
            yearly / 1e9,
            "billion $/year",
            f"1e6 x ${paid.dollars_per_chip_hour:.3f} x {HOURS:.0f} h",
            paid,
        ),
    )
    watts = next(c for c in chips.chip("trn2").conflicts if c.field == "tdp")
    sites = _MILLION * (watts.value + _HOST_WATTS) * _PUE
    findings += (
        finding(
            "power of the chips",
            _MILLION * watts.value / 1e9,
            "GW",
            f"1e6 x {watts.value:.0f} W, no vendor figure",
            "assumed",
        ),
        finding(
            "power of their sites",
            sites / 1e9,
            "GW",
            f"1e6 x ({watts.value:.0f} W + {_HOST_WATTS:.0f} W of host) x PUE {_PUE}",
            "assumed",
        ),
    )
    return (
        findings,
        ("all are Trainium2", "all are rented all year at the capacity-block price"),
        "not reproducible",
        (
            f"A count of deployed chips cannot be derived: reports differ on whether all generations or Trainium2 alone are "
            "counted, and later ones give 1.4 million over three generations. If they were all Trainium2 at list price they would bring "
            f"${yearly / 1e9:.1f} billion a year, above the multi-billion that AWS reports: so most are earlier chips, used "
            "by Amazon itself, or discounted."
        ),
    )


def ai_factory() -> tuple[tuple[Finding, ...], tuple[str, ...], Verdict, str]:
    """Work out 3,000 GB200 on a customer's floor: capital, power, and the rent they replace."""
    rack, cloud = chips.system("gb200_nvl72"), price("u-p6e-gb200x72", "capacity-block")
    sheet = chips.system("u-p6e-gb200x72").power
    assert rack.capex is not None
    assert sheet is not None
    racks = _FACTORY_GPUS / rack.chips
    capital = rack.capex.value / rack.chips / (_YEARS * HOURS * _USED)
    kilowatts = sheet.value / 1e3 / rack.chips
    power = kilowatts * _PUE * _DOLLARS_PER_KWH / _USED
    own = ownership(rack, utilisation=_USED, pue=_PUE, dollars_per_kwh=_DOLLARS_PER_KWH, years=_YEARS)
    yearly = racks * sheet.value / 1e3 * _PUE * _DOLLARS_PER_KWH * HOURS
    findings = (
        finding("racks of 72", racks, "", f"{_FACTORY_GPUS} over {rack.chips}", "assumed"),
        finding(
            "power of the racks", racks * sheet.value / 1e6, "MW", f"{racks:.1f} x {sheet.value / 1e3:.0f} kW", sheet
        ),
        finding(
            "purchase",
            racks * rack.capex.value / 1e6,
            "million $",
            f"{racks:.1f} x ${rack.capex.value / 1e6:.1f} M",
            rack.capex,
        ),
        finding(
            "capital per GPU-hour",
            capital,
            "$/GPU-h",
            f"${rack.capex.value / rack.chips:,.0f} over {_YEARS} years of which {_USED:.0%} used",
            rack.capex,
        ),
        finding(
            "electricity per GPU-hour",
            power,
            "$/GPU-h",
            f"{kilowatts:.2f} kW x PUE {_PUE} x ${_DOLLARS_PER_KWH}/kWh over {_USED:.0%}",
            sheet,
            "assumed",
        ),
        finding(
            "electricity per year",
            yearly / 1e6,
            "million $",
            f"{racks * sheet.value / 1e6:.2f} MW x PUE {_PUE}",
            sheet,
            "assumed",
        ),
        finding(
            "all costs per GPU-hour, staff, fabric and cost of capital included",
            own.total.expected,
            "$/GPU-h",
            f"from {own.total.low:.2f} to {own.total.high:.2f}: 20 to 35 % on top of the purchase",
            rack.capex,
            "assumed",
        ),
        finding(
            "price to own a Trainium3 at which its peak MXFP8 costs as much",
            own.total.expected * printed("trn3", "peak.mxfp8").value / chips.chip("gb200").peak["fp8"].value,
            "$/chip-h",
            f"{own.total.expected:.2f} x {printed('trn3', 'peak.mxfp8').value / 1e15:.2f} over "
            f"{chips.chip('gb200').peak['fp8'].value / 1e15:.2f} PFLOP/s",
            rack.capex,
            "assumed",
        ),
        finding(
            "rent of the same in the cloud", cloud.dollars_per_chip_hour, "$/GPU-h", "UltraServer capacity block", cloud
        ),
        finding(
            "share of electricity in capital and electricity",
            100 * power / (capital + power),
            "%",
            "the most that halved energy could save is half of this",
            rack.capex,
            sheet,
        ),
    )
    return (
        findings,
        (
            f"{_YEARS} years, {_USED:.0%} used, PUE {_PUE}, ${_DOLLARS_PER_KWH} per kWh",
            "network, storage, staff and cost of capital add 20 to 35 %",
            "no price of Trainium3 to own or rent is published",
        ),
        "holds if",
        (
            f"the customer uses what it buys: Blackwell costs about ${capital + power:.2f} per GPU-hour in hardware and power "
            f"against ${cloud.dollars_per_chip_hour:.2f} rented. The Trainium3 side has no public price, so the choice between "
            "the two cannot be priced."
        ),
    )


def gemini() -> tuple[tuple[Finding, ...], tuple[str, ...], Verdict, str]:
    """Bound chip-hours of training an example model on TPUs, since Gemini's own size is not published."""
    flops = 6 * _EXAMPLE_PARAMETERS * _EXAMPLE_TOKENS
    peaks = {name: chips.chip(name).peak["bf16"] for name in ("tpu_v5p", "tpu_v6e", "tpu_v7")}
    findings = tuple(
        finding(
            f"{name} at {mfu:.0%} of peak: 100 G active parameters, 10 T tokens",
            flops / (mfu * peak.value) / 3600 / 1e6,
            "million chip-h",
            f"6 x 1e11 x 1e13 FLOP over {mfu} x {peak.value / 1e12:.0f} TFLOP/s",
            peak,
            "assumed",
        )
        for name, peak in peaks.items()
        for mfu in _MFU
    )
    rents = []
    for name, peak in peaks.items():
        paid = chips.cheapest_price(name)
        if paid is not None:
            hours = [flops / (mfu * peak.value) / 3600 for mfu in _MFU]
            rents.append(
                finding(
                    f"rent of the same on {name} at list price, at {_MFU[1]:.0%} of peak",
                    hours[1] * paid.dollars_per_chip_hour / 1e6,
                    "million $",
                    f"${paid.dollars_per_chip_hour:.2f} per chip-hour; {hours[0] * paid.dollars_per_chip_hour / 1e6:.1f} at "
                    f"{_MFU[0]:.0%}",
                    paid,
                    "assumed",
                )
            )
    return (
        (*findings, *rents),
        ("6 FLOP per active parameter and token", f"{_MFU[0]:.0%} to {_MFU[1]:.0%} of peak"),
        "not reproducible",
        (
            "The model card says TPUs, not only TPUs, and gives neither size, tokens, generation nor count. The figures above "
            "show what an example of 6e24 FLOP would take."
        ),
    )
