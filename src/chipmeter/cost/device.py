"""A chip reduced to the plain numbers that the timing formulas need, with stated stand-ins for what is unknown."""

from __future__ import annotations

import functools
import re

import msgspec

from chipmeter.chips import Chip, chip
from chipmeter.cost.calibration import efficiency

IDLE_SHARE = 0.2
"""Share of the rated power that a board draws with nothing to do, where no idle figure is known. Measured boards:
H200 131 of 700 W, B200 252 of 1000 W (assumed for the others)."""

CORES = 128
"""Cores taken for a chip whose catalogue entry does not count them (assumed)."""

FALLBACK: dict[str, tuple[str, ...]] = {
    "nvfp4": ("nvfp4", "mxfp4", "fp8", "int8", "bf16", "fp16"),
    "mxfp4": ("mxfp4", "nvfp4", "fp8", "int8", "bf16", "fp16"),
    "mxfp8": ("mxfp8", "fp8", "int8", "bf16", "fp16"),
    "fp8": ("fp8", "mxfp8", "int8", "bf16", "fp16"),
    "fp8_block": ("fp8", "mxfp8", "int8", "bf16", "fp16"),
    "int8": ("int8", "fp8", "bf16", "fp16"),
    "bf16": ("bf16", "fp16", "tf32"),
    "fp16": ("fp16", "bf16", "tf32"),
    "fp32": ("tf32", "fp32", "bf16"),
}


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """What the formulas read of a chip; SI units.

    Attributes
    ----------
    peak : dict of str to float
        FLOP/s by number format.
    bandwidth, memory : float
        Bytes/s and bytes of device memory.
    cores : int
        Independent cores (streaming multiprocessors, compute units) that tiles are dealt to.
    limit, idle : float or None
        Watts of the board at its limit and with nothing to do.
    link, network : float
        Bytes/s per direction of one chip inside and between scale-up domains.
    domain : int
        Chips of one scale-up domain.
    array : float
        Rows and columns of a systolic array, which sizes are padded to; 0 for chips that deal tiles to cores.
    logical_cores : int
        Ranks that software makes of one chip.
    """

    id: str
    vendor: str
    peak: dict[str, float]
    bandwidth: float
    memory: float
    cores: int
    limit: float | None
    idle: float | None
    link: float
    network: float
    domain: int
    array: float = 0.0
    logical_cores: int = 1

    @property
    def family(self) -> str:
        """Kind of device that constants are fitted for: tpu, trainium, or gpu for all others."""
        return {"Google": "tpu", "AWS": "trainium"}.get(self.vendor, "gpu")

    def rate(self, format: str) -> float:
        """FLOP/s in a format, or in the next wider one that the chip computes in.

        >>> device("h100").rate("nvfp4") == device("h100").rate("fp8")
        True
        """
        for name in FALLBACK.get(format, (format,)):
            if name in self.peak:
                return self.peak[name]
        return max(self.peak.values())


def one_core(chip: Device) -> Device:
    """Return one logical core of a chip whose software counts cores; any other chip as it is.

    >>> whole = device("trn2")
    >>> one_core(whole).bandwidth == whole.bandwidth / 4
    True
    """
    cores = chip.logical_cores
    return chip if cores == 1 else msgspec.structs.replace(
        chip, logical_cores=1, peak={name: rate / cores for name, rate in chip.peak.items()}, bandwidth=chip.bandwidth / cores,
        memory=chip.memory / cores, link=chip.link / cores, network=chip.network / cores, domain=chip.domain * cores,
    )  # fmt: skip


def device(record: Chip | str) -> Device:
    """Reduce a chip of the catalogue, or a record of your own.

    A link whose rate is not published counts as 25 GB/s between machines and 64 GB/s inside one, an Ethernet port
    and a PCIe slot (assumed).

    Examples
    --------
    >>> device("h100").cores, device("tpu_v5e").limit
    (132, None)
    """
    if isinstance(record, str):
        return _known(record)
    # Records are compared by identity: they hold dicts and have no hash. The entry keeps its record, so no id is reused.
    found = _SEEN.get(id(record))
    if found is None:
        if len(_SEEN) >= MOST_SEEN:
            _SEEN.clear()
        found = _SEEN[id(record)] = record, _reduce(record)
    return found[1]


_SEEN: dict[int, tuple[Chip, Device]] = {}
MOST_SEEN = 256


@functools.cache
def _known(name: str) -> Device:
    return _reduce(chip(name))


def _reduce(record: Chip) -> Device:
    cores = re.match(r"\d+", record.cores or "") if re.search(r"SM|CU", record.cores or "") else None
    limit = None if record.tdp is None else record.tdp.value
    idle = record.idle.value if record.idle is not None else None if limit is None else IDLE_SHARE * limit
    up, out = record.scale_up, record.scale_out
    return Device(
        id=record.id,
        vendor=record.vendor,
        peak={format: figure.value for format, figure in record.peak.items()},
        bandwidth=record.memory_bandwidth.value,
        memory=record.memory.value,
        cores=int(cores.group()) if cores else CORES,
        limit=limit,
        idle=idle,
        link=up.bandwidth.value if up is not None and up.bandwidth is not None else 64e9,
        network=out.bandwidth.value if out is not None and out.bandwidth is not None else 25e9,
        domain=(up.domain if up is not None else None) or 1,
        array=float((efficiency(record).array or (0, 0))[0]),
        logical_cores=record.logical_cores,
    )
