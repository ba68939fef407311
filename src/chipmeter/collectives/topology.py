"""Topologies: which links join the ranks of a system, level by level, as frozen data taken from the catalogue."""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

from chipmeter._names import unknown_name
from chipmeter.chips import catalogue
from chipmeter.chips.records import Chip, Link, System
from chipmeter.evidence import Grade

Kind = Literal["switch", "mesh", "torus"]
Library = Literal["nccl", "engine", "neuron", "tpu"]
"""Whose algorithms run: NCCL (and RCCL, which keeps its structure), NCCL beside the all-reduce kernels of a serving engine,
the Neuron runtime, XLA on TPU."""


@dataclass(frozen=True)
class Level:
    """One network: it joins `size` ranks, and within it the units that the level below has joined.

    Parameters
    ----------
    name : str
    kind : {"switch", "mesh", "torus"}
        switch: any unit reaches any other at the full rate of its port. mesh: one link to each other unit. torus: links
        to the neighbours along `axes` only.
    bandwidth : float
        Bytes/s of one rank in one direction, over all links of this level.
    size : int
        Ranks joined; 0: as many as there are.
    axes : tuple of int
        Units along each axis of a torus, the last one the fastest.
    wraps : bool
        Whether the axes of a torus close to rings.
    reduces : bool
        Whether the switch adds and multicasts (NVLS).
    grade : str
        Of the bandwidth.
    """

    name: str
    kind: Kind
    bandwidth: float
    size: int = 0
    axes: tuple[int, ...] = ()
    wraps: bool = True
    reduces: bool = False
    grade: Grade = "documented"

    def __post_init__(self) -> None:
        if not 0 < self.bandwidth < math.inf:
            raise ValueError(f"the bandwidth of {self.name} must be positive and finite, got {self.bandwidth}")
        if self.size < 0 or any(k < 1 for k in self.axes):
            raise ValueError(f"{self.name} must join a positive number of ranks, got {self.size} on axes {self.axes}")
        if self.kind == "torus" and not self.axes:
            raise ValueError(f"{self.name} is a torus and needs axes")


@dataclass(frozen=True)
class Topology:
    """The networks of a system, innermost first; rank r sits beside rank r + 1."""

    name: str
    levels: tuple[Level, ...]
    library: Library = "nccl"
    chip: str = ""

    def __hash__(self) -> int:
        return self._hash  # type: ignore[attr-defined, no-any-return]

    def __post_init__(self) -> None:
        # Prices are looked up by topology, millions of times in a search: its hash is taken once.
        object.__setattr__(self, "_hash", hash((self.name, self.levels, self.library, self.chip)))
        sizes = [level.size or math.inf for level in self.levels]
        if not sizes or sizes != sorted(sizes) or len(set(sizes)) != len(sizes):
            raise ValueError(f"each level of {self.name} must join more ranks than the one below, got {sizes}")

    def unit(self, level: int) -> int:
        """Ranks that share a port of a level: those that the level below has joined."""
        return self.levels[level - 1].size if level else 1

    def reach(self, ranks: int) -> int:
        """Index of the lowest level that joins so many ranks.

        Raises
        ------
        ValueError
            If none does: there is no path.
        """
        for index, level in enumerate(self.levels):
            if not level.size or ranks <= level.size:
                return index
        top = self.levels[-1]
        raise ValueError(
            f"no path between {ranks} ranks of {self.name}: {top.name} joins {top.size}, and no network beyond it is known"
        )

    @functools.lru_cache(maxsize=1024)  # noqa: B019 - records are few and frozen
    def spaced(self, stride: int) -> Topology:
        """Topology that a group sees which takes every `stride`-th rank, while the groups between do the same.

        >>> [(level.name, level.size) for level in topology("h100").spaced(4).levels]
        [('NVLink4', 2), ('InfiniBand or Ethernet', 0)]
        >>> [level.name for level in topology("h100").spaced(8).levels]
        ['InfiniBand or Ethernet']
        """
        if isinstance(stride, bool) or not isinstance(stride, int) or stride < 1:
            raise ValueError(f"stride must be at least 1, got {stride!r}")
        if stride == 1:
            return self
        kept = []
        for index, level in enumerate(self.levels):
            if 0 < level.size <= stride:
                continue
            thinned = replace(level, size=-(-level.size // stride))
            kept.append(_thinned(thinned, max(1, stride // self.unit(index))) if level.axes else thinned)
        if not kept:
            raise ValueError(
                f"no path between ranks {stride} apart in {self.name}: {self.levels[-1].name} is its widest network"
            )
        return replace(self, levels=tuple(kept))


def _thinned(level: Level, stride: int) -> Level:
    """Torus of every `stride`-th unit: whole axes drop out with their links, part of one shares its links.

    Axes whose sides multiply to the stride drop out whichever they are, as compilers map groups to whole axes.
    """
    axes, rate = list(level.axes), level.bandwidth
    for count in range(1, len(axes)):
        for gone in combinations(range(len(axes)), count):
            if math.prod(axes[i] for i in gone) == stride:
                kept = tuple(k for i, k in enumerate(axes) if i not in gone)
                return replace(level, axes=kept, bandwidth=rate * len(kept) / len(axes))
    while stride > 1 and axes:
        k = axes.pop()
        if stride < k:
            axes.append(-(-k // stride))
            rate /= stride
        stride = -(-stride // k)
    return replace(level, axes=tuple(axes) or (1,), bandwidth=rate * max(len(axes), 1) / len(level.axes))


DMA = {"trn1": 272e9, "inf2": 272e9, "trn2": 368e9, "trn3": 528e9}
"""Bytes/s of a Neuron chip's 16 DMA engines, which also move what stays in the chip (AWS documentation); an unpublished
one's are taken to be the fastest published."""

ULTRASERVER = 256e9
"""Bytes/s of one trn2 chip along the ring of four instances, both directions together (AWS documentation)."""

_LIBRARIES: dict[str, Library] = {"AWS": "neuron", "Amazon": "neuron", "Google": "tpu"}


@functools.lru_cache(maxsize=512)
def topology(system: str, ranks: int = 0) -> Topology:
    """Read the networks of a system, or of a chip in its usual machine, from the catalogue.

    Parameters
    ----------
    system : str
        Id of a system ("p5.48xlarge") or of a chip ("h100"). Of systems that are rented in several, the network between
        machines joins as many as are needed.
    ranks : int
        Ranks that take part: a TPU slice of so many chips has its own shape. 0: the whole system.

    Raises
    ------
    UnknownNameError
        If there is neither a system nor a chip of this name.
    ValueError
        If no bandwidth is published.

    Examples
    --------
    >>> [(level.name, level.size) for level in topology("p5.48xlarge").levels]
    [('NVLink4', 8), ('InfiniBand or Ethernet', 0)]
    >>> topology("trn1.32xlarge").levels[1].axes
    (4, 4)
    """
    entry = _system(system)
    chip = catalogue.chip(entry.chip if entry else system)
    up = _merged(entry.scale_up if entry else None, chip.scale_up)
    out = _merged(entry.scale_out if entry else None, chip.scale_out)
    chips = entry.chips if entry else 0
    cores = chip.logical_cores
    levels = (
        [] if cores == 1 else [Level("DMA in the chip", "switch", DMA.get(chip.id, max(DMA.values())) / cores, cores)]
    )
    inside = _inside(chip, up, chips)
    if inside > 1 and up is not None:
        if up.bandwidth is None:
            raise ValueError(f"no bandwidth of {up.name} is published for {entry.id if entry else chip.id}")
        levels += _scale_up(chip, up, inside, cores, ranks)
    if out is not None and out.bandwidth is not None:
        levels.append(Level(out.name, "switch", out.bandwidth.value / cores, grade=out.bandwidth.grade))
    if not levels:
        raise ValueError(f"{entry.id if entry else chip.id} has no network between its chips that is known")
    return Topology(entry.id if entry else chip.id, tuple(levels), _LIBRARIES.get(chip.vendor, "nccl"), chip.id)


@functools.lru_cache(maxsize=512)
def rated(chip: str, link: float, network: float, domain: int, ranks: int = 0, *, engine: bool = False) -> Topology:
    """Topology of one rank per device at rates that are known otherwise: what the cost of whole programs has.

    Parameters
    ----------
    chip : str
        Id of a chip; one's own is taken for a switch of NVLink's kind.
    link, network : float
        Bytes/s of one rank in one direction, inside and between domains of `domain` ranks.
    domain : int
    ranks : int
        Ranks over which a group spreads: a TPU slice of so many has its own shape. 0: the whole domain.
    engine : bool
        Whether a serving engine runs, with all-reduce kernels of its own where others would run NCCL alone.

    Examples
    --------
    >>> [(level.name, level.bandwidth) for level in rated("h100_sxm", 400e9, 40e9, 8).levels]
    [('NVLink4', 400000000000.0), ('InfiniBand or Ethernet', 40000000000.0)]
    """
    inner, outer = Level("scale-up", "switch", link, max(domain, 1)), Level("scale-out", "switch", network)
    try:
        known = topology(chip, min(ranks, domain) if ranks > 1 else domain)
    except ValueError:
        known = Topology(chip, (inner,) if domain > 1 else (outer,))
    for level in known.levels:
        if level.size and not level.name.startswith("DMA"):
            if level.name.startswith("PCIe"):
                domain = max(domain, level.size)  # cards of one machine meet at its host, whatever they are called
            units = max(domain, 2)
            fixed = math.prod(level.axes) == units or known.library == "tpu"
            axes = level.axes if fixed else _shape(units, max(len(level.axes), 1))
            inner = replace(level, bandwidth=link, size=units, axes=axes if level.kind == "torus" else ())
            break
    if not known.levels[-1].size:
        outer = replace(known.levels[-1], bandwidth=network)
    library: Library = "engine" if engine and known.library == "nccl" else known.library
    return replace(known, levels=(inner, outer) if domain > 1 else (outer,), library=library)


def _system(name: str) -> System | None:
    try:
        return catalogue.system(name)
    except ValueError:
        pass
    try:
        catalogue.chip(name)
    except ValueError:
        known = {s.id for s in catalogue.systems()} | {c.id for c in catalogue.chips()}
        raise unknown_name("system", name, known) from None
    return None


def _merged(own: Link | None, usual: Link | None) -> Link | None:
    """Fill what a system's own link leaves open from its chip's."""
    if own is None or usual is None:
        return own or usual
    return Link(
        name=own.name,
        bandwidth=own.bandwidth or (usual.bandwidth if own.name == usual.name else None),
        domain=own.domain or usual.domain,
        topology=own.topology or usual.topology,
    )


def _inside(chip: Chip, up: Link | None, chips: int) -> int:
    """Chips that the scale-up network joins; those on PCIe are joined through their host."""
    if up is None or up.name == "none":
        return 1
    domain = up.domain or 1
    if up.name.startswith("PCIe"):
        return chips or 8
    return min(domain, chips) if chips else domain


def _scale_up(chip: Chip, up: Link, inside: int, cores: int, ranks: int) -> list[Level]:
    assert up.bandwidth is not None
    rate, grade, text = up.bandwidth.value / cores, up.bandwidth.grade, up.topology or ""
    if "mesh" in text and "cube" not in text:
        return [Level(up.name, "mesh", rate, inside * cores, grade=grade)]
    if "torus" in text:
        slice_ = min(inside, max(ranks // cores, 2)) if ranks else inside
        grid = re.match(r"(\d+)x(\d+)", text)
        first = min(16, inside) if grid else inside
        axes = (int(grid[1]), int(grid[2])) if grid else _shape(slice_ if ranks else inside, 3 if "3D" in text else 2)
        if grid is None:
            # A slice closes to rings only along axes of a whole pod (v5e, v6e) or of a multiple of 4 (3D).
            wraps = all(k == 1 or (k >= 16 if len(axes) == 2 else k % 4 == 0) for k in axes)
            return [Level(up.name, "torus", rate, inside * cores, axes, wraps, grade=grade)]
        levels = [Level(up.name, "torus", rate, first * cores, axes, grade=grade)]
        if inside > first:
            ring = (inside // first,)
            levels.append(Level("UltraServer ring", "torus", ULTRASERVER / cores, inside * cores, ring))
        return levels
    if text == "ring":
        return [Level(up.name, "torus", rate, inside * cores, (inside,), grade=grade)]
    switched = up.name in ("NVLink4", "NVLink5", "NVLink6") and "NVSwitch" in text
    return [Level(up.name, "switch", rate, inside * cores, reduces=switched, grade=grade)]


def _shape(count: int, dimensions: int) -> tuple[int, ...]:
    """Cut a number of chips into axes as equal as may be, the shortest first.

    >>> _shape(4096, 3), _shape(32, 2), _shape(4, 3)
    ((16, 16, 16), (4, 8), (1, 2, 2))
    """
    if dimensions == 1:
        return (count,)
    quarter = 4**dimensions
    if count % quarter == 0 and count > quarter:
        return tuple(4 * k for k in _shape(count // quarter, dimensions))  # pods are built of blocks of 4 a side
    target = count ** (1 / dimensions)
    side = next(k for k in range(int(target + 1e-9), 0, -1) if count % k == 0)
    return tuple(sorted((side, *_shape(count // side, dimensions - 1))))
