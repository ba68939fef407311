"""What a step costs on each fabric: fitted constants, and which algorithms and protocols a library chooses among."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import msgspec

from chipmeter.collectives.topology import Topology

PROTOCOLS = ("LL", "LL128", "Simple")
"""NCCL's: 4 bytes of data beside 4 of flag; 120 of 128 bytes; plain buffers with a hand-shake."""

MULTICAST = {"NVLink4": 5, "NVLink5": 6, "NVLink6": 6}
"""GPUs from which NCCL takes NVLS for all_reduce: seen on H200 and B200; NVLink6 assumed alike."""

SWITCHED = {"NVLink4": 2 * 2**20, "NVLink5": 4 * 2**20, "NVLink6": 4 * 2**20}
"""Bytes from which NVLS is taken, and only it: seen on H200; on B200 where the measured curve steps up; then alike."""

NODE = 8
"""Up to so many ranks those bounds hold; beyond, where a ring's latency grows, NVLS is considered at any size."""

ENGINE = ((2, math.inf), (4, 512 * 2**10), (8, 256 * 2**10))
"""Ranks up to which a serving engine adds in one shot, and below how many bytes; above, in two (vLLM's custom all-reduce)."""

NEURON = ((2**20, "neuron/mesh"), (56 * 2**20, "neuron/rdh"), (math.inf, "neuron/kangaring"))
"""Sizes below which the Neuron runtime takes an algorithm inside a machine (AWS documentation, called empirical)."""

TRANSFER = 0.4
"""Log error added to the interval where constants of another fabric stand in (assumed)."""


GROWTH = 0.05
"""Log error added for each doubling of the ranks beyond those measured (assumed)."""


class Protocol(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Constants of one algorithm and protocol on one fabric.

    Attributes
    ----------
    start : float
        Microseconds of a collective before its first step.
    hop : float
        Microseconds of one step.
    reach : float
        Share of the links' rate that is reached.
    ramp : float
        How slowly it is reached: weight of the geometric mean of latency and transfer.
    own : float
        Transfer of a rank's own block, which is copied besides, in units of that block on the link.
    """

    start: float
    hop: float
    reach: float
    ramp: float = 0.0
    own: float = 0.0

    def __post_init__(self) -> None:
        if not (self.start >= 0 and self.hop >= 0 and 0 < self.reach <= 1 and self.ramp >= 0 and self.own >= 0):
            raise ValueError(f"constants must not be negative, nor reach above 1: {self}")


class Fit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Constants of an operation on a fabric, with how well they describe the rows they were fitted on.

    Attributes
    ----------
    rows : int
        Measured rows used; 0 where the constants are not fitted.
    median_error, p90_error : float
        Of |log(predicted / measured)| over those rows.
    low, high : float
        Between which 90 % of log(measured / predicted) lie, rank counts left out of the fit included.
    ranks : int
        The most ranks among the rows.
    protocols : dict of str to Protocol
        By "algorithm protocol".
    """

    rows: int
    median_error: float
    p90_error: float
    low: float
    high: float
    ranks: int
    protocols: dict[str, Protocol]


Fits = Mapping[str, Mapping[str, Fit]]
"""By fabric and operation."""


class Book(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All constants: by fabric and operation."""

    date: str
    source: str
    fabrics: dict[str, dict[str, Fit]]


@functools.cache
def book() -> Book:
    """Read the packaged constants."""
    path = resources.files("chipmeter.collectives").joinpath("data/timing.toml")
    return msgspec.toml.decode(path.read_bytes(), type=Book)


_RELATIVES = {
    "NVLink2": "NVLink3",
    "NVLink4 bridge": "NVLink4",
    "NVLink6": "NVLink5",
}
_FITTED = ("NVLink3", "NVLink4", "NVLink5", "Infinity Fabric")
_NETWORKS = "network"


def fabric(level: str, library: str) -> tuple[str, bool]:
    """Name the fabric whose constants serve a level, and whether it is another one.

    >>> fabric("NVLink6", "nccl"), fabric("EFA", "nccl"), fabric("EFA", "neuron")
    (('NVLink5', True), ('network', False), ('NeuronLink EFA', False))
    """
    if library == "neuron":
        if level.startswith("DMA"):
            return "NeuronLink DMA", False
        network = level in ("EFA", "scale-out") or level.endswith("network")
        return ("NeuronLink EFA", level != "EFA") if network else ("NeuronLink", level != "NeuronLink-v2")
    if library == "tpu":
        return ("ICI", False) if level == "ICI" else (_NETWORKS, True)
    if level in _FITTED:
        return level, False
    if level.startswith("PCIe"):
        return "PCIe", False
    if level == "scale-up":
        return "NVLink4", True
    return (_RELATIVES[level], True) if level in _RELATIVES else (_NETWORKS, False)


_ALIKE = {
    "broadcast": "all_gather",
    "reduce": "reduce_scatter",
    "send_recv": "all_to_all",
    "barrier": "all_reduce",
    "all_to_all": "all_gather",
    "reduce_scatter": "all_gather",
    "all_gather": "all_reduce",
}


def fit_of(name: str, operation: str, fits: Fits | None = None) -> tuple[Fit, bool]:
    """Find the constants of an operation on a fabric, or of the operation most like it; also whether it is another."""
    known = (fits or book().fabrics)[name]
    at = operation
    while at not in known:
        at = _ALIKE[at]
    return known[at], at != operation


def protocol_of(fit: Fit, algorithm: str, protocol: str) -> tuple[Protocol, bool]:
    """Find the constants of an algorithm and protocol, or of those most like them; also whether they stand in."""
    kin = {"nvls_tree": ("nvls", "tree"), "nvls": ("ring",), "neuron/mesh": ("direct",)}.get(algorithm, ())
    for name in (algorithm, *kin, "ring", "direct"):
        for under in (protocol, "Simple"):
            if f"{name} {under}" in fit.protocols:
                return fit.protocols[f"{name} {under}"], name != algorithm
    same = [value for name, value in fit.protocols.items() if name.endswith(f" {protocol}")]
    return (same or list(fit.protocols.values()))[0], True


@dataclass(frozen=True)
class Choice:
    """An algorithm that a library considers, with its protocol and the bytes from and below which it does."""

    algorithm: str
    protocol: str
    least: float = 0.0
    most: float = math.inf


def choices(topology: Topology, operation: str, ranks: int) -> tuple[Choice, ...]:
    """List what the library of a topology chooses among for an operation on so many ranks.

    >>> from chipmeter.collectives.topology import topology
    >>> [c.algorithm for c in choices(topology("b200"), "all_reduce", 6)]
    ['ring', 'ring', 'ring', 'nvls']
    >>> [c.algorithm for c in choices(topology("trn1"), "all_reduce", 32)]
    ['neuron/mesh', 'neuron/rdh', 'neuron/kangaring']
    """
    top = topology.reach(ranks)
    if operation == "send_recv":
        return (Choice("point_to_point", "Simple"),)
    if operation == "barrier":
        return (Choice("dissemination", "LL"),)
    if topology.library == "tpu":
        if operation in ("broadcast", "reduce"):
            return (Choice("ring", "Simple"),)
        return (Choice("direct" if operation == "all_to_all" else "torus" if top == 0 else "hierarchical", "Simple"),)
    if topology.library == "neuron":
        return _neuron(topology, operation, top)
    if operation == "all_to_all":
        return tuple(Choice("direct", protocol) for protocol in ("LL", "Simple"))
    inner = topology.levels[0]
    fast = protocols(topology)
    found = [Choice("ring", protocol) for protocol in fast]
    one_each = topology.unit(top) == 1 and top == 0 and inner.kind == "switch" and inner.size == 0
    if operation == "all_reduce":
        inside = min(topology.unit(top) if top else ranks, ranks)
        if top:
            found += [Choice("tree", protocol) for protocol in fast]
        if inner.reduces and inside >= MULTICAST.get(inner.name, 6):
            bound = 0.0 if top else SWITCHED.get(inner.name, 0.0)
            if bound:
                found = [Choice(c.algorithm, c.protocol, 0.0, bound) for c in found]
            found.append(Choice("nvls_tree" if top else "nvls", "Simple", bound if ranks <= NODE else 0.0))
        if topology.library == "engine" and top == 0 and inner.name.startswith("NVLink"):
            found = _engine(ranks) + found
    elif operation in ("reduce_scatter", "all_gather") and one_each:
        found.append(Choice("pat", "Simple"))
    return tuple(found)


def _engine(ranks: int) -> list[Choice]:
    most = next((most for up_to, most in ENGINE if ranks <= up_to), 0.0)
    if not most:
        return []
    two = [] if most == math.inf else [Choice("two_shot", "Simple", most)]
    return [Choice("one_shot", "Simple", 0.0, most), *two]


def protocols(topology: Topology) -> tuple[str, ...]:
    """List the protocols that a topology allows: LL128 needs NVLink inside the machine."""
    if topology.library not in ("nccl", "engine"):
        return ("Simple",)
    return PROTOCOLS if topology.levels[0].name.startswith("NVLink") else ("LL", "Simple")


def _neuron(topology: Topology, operation: str, top: int) -> tuple[Choice, ...]:
    if operation == "all_to_all":
        return (Choice("direct", "Simple"),)
    if operation in ("broadcast", "reduce"):
        return (Choice("ring", "Simple"),)
    if fabric(topology.levels[top].name, "neuron")[0].endswith("EFA"):
        return (Choice("hierarchical", "LL"), Choice("hierarchical", "Simple"))
    if operation == "all_reduce":
        found, least = [], 0.0
        for most, name in NEURON:
            found.append(Choice(name, "Simple", least, most))
            least = most
        return tuple(found)
    # 32 ranks gather 1 KB in 6 us: one step to all, not 31 hops.
    small = NEURON[0][0]
    return (Choice("direct", "Simple", 0.0, small), Choice("ring", "Simple", small))
