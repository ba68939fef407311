"""What an identification says, as plain frozen data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Probe:
    """One property of the arithmetic.

    Attributes
    ----------
    name : str
    value : str
        What was observed; "not visible" where no input of these types can show it.
    shown_by : str
        The input that shows it.
    """

    name: str
    value: str
    shown_by: str


@dataclass(frozen=True)
class Difference:
    """A unit that is not the one, and the evidence.

    Attributes
    ----------
    unit : str
    compared, mismatches : int
        Outputs of the same inputs, and how many have other bits.
    example : str
        The differing dot product with the fewest terms: its terms, its accumulator, both results as raw bits.
    properties : tuple of Probe
        Properties in which the unit differs; `value` is the unit's.
    """

    unit: str
    compared: int
    mismatches: int
    example: str
    properties: tuple[Probe, ...] = ()


@dataclass(frozen=True)
class Identification:
    """The result of `identify`.

    Attributes
    ----------
    types : tuple of str
        a, b, c, d as in `chipmeter.matmul.Unit`.
    matches : tuple of str
        Units whose bits are those observed on every input. Several are one arithmetic under several names, as far as
        these types can show; empty if no unit agrees. A unit whose order is a policy is named with its order, one whose
        result was cast to a narrower type with that type: `unit -> bf16`.
    classes : tuple of tuple of str
        All units of these types, in classes that no input here tells apart.
    nearest : tuple of Difference
        Without a match: the nearest classes, nearest first. With one: the classes that came closest to it.
    probes : tuple of Probe
    outputs : int
        Outputs compared with each unit.
    shape : tuple of int
        M, N and the values of K in the products that were compared.

    Examples
    --------
    >>> import chipmeter as cm
    >>> from chipmeter.identification import identify
    >>> found = identify(lambda a, b, c: cm.matmul(a, b, c, unit="a100/fp16"), "f16.f16.f32.f32")
    >>> "ampere/mma.f16.f16.f32.f32" in found.matches, len(found.matches) < len(found.classes)
    (True, True)
    >>> found["kept bits"].value
    '24, cut toward zero'
    """

    types: tuple[str, str, str, str]
    matches: tuple[str, ...]
    classes: tuple[tuple[str, ...], ...]
    nearest: tuple[Difference, ...]
    probes: tuple[Probe, ...]
    outputs: int
    shape: tuple[int, ...]

    def __getitem__(self, name: str) -> Probe:
        """Return the probe of this name."""
        for probe in self.probes:
            if probe.name == name:
                return probe
        raise KeyError(name)

    @property
    def summary(self) -> str:
        """One line: the matching units, or what the arithmetic looks like."""
        if self.matches:
            return f"{' = '.join(self.matches)}"
        seen = {p.name: p.value for p in self.probes if p.value != "not visible"}
        told = [seen[n] for n in ("products", "order", "order to k = 1024") if n in seen]
        if "products" in seen:
            told[0] = f"products {told[0]}"
        if "result" in seen:
            told.append(f"result: {seen['result']}")
        kind = {"f16": "binary16", "f32": "binary32", "f64": "binary64"}.get(self.types[3], self.types[3])
        return "; ".join(["no unit", kind, *told])

    def __str__(self) -> str:
        """Return the whole finding as text, a line per fact."""
        width = max((len(p.name) for p in self.probes), default=0)
        lines = [f"{'.'.join(self.types)}: {self.summary}"]
        lines += [f"  {p.name:<{width}}  {p.value}  [{p.shown_by}]" for p in self.probes]
        lines.append(f"  {self.outputs} outputs compared with each of {sum(map(len, self.classes))} units")
        for near in self.nearest:
            lines.append(f"  not {near.unit}: {near.mismatches} of {near.compared} outputs differ")
            lines += [f"    {p.name}: {p.value} there" for p in near.properties]
            lines.append(f"    {near.example}")
        return "\n".join(lines)
