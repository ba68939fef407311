"""From the way recordings name an instruction to the unit that emulates it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from chipmeter._arrays import AnyArray
from chipmeter.matmul import BinaryDot, Chain, IntegerDot, Unit, units
from chipmeter.matmul.operands import operand_dtype
from chipmeter.matmul.units import OPERANDS

_ARCHITECTURES = {"ada-lovelace": "ada"}
_FAMILIES = ("wgmma", "tcgen05", "mfma", "mma")
_AMD_TYPES = {"fp8": "e4m3fnuz", "bf8": "e5m2fnuz", "xf32": "tf32", "i8": "s8", "i32": "s32"}
_ROUNDINGS = {".rz": "toward-zero", ".rm": "down", ".rp": "up"}
_AMD = re.compile(
    r"(?:v_mfma_)?(?P<d>[a-z]+\d+)_\d+x\d+x(?P<k>\d+)_?(?:\d+b_)?(?P<ab>[a-z]+\d+(?:_[a-z]+\d+)?)(?:_1k)?"
)


@dataclass(frozen=True)
class Instruction:
    """One instruction as a recording names it.

    Attributes
    ----------
    arch, family : str
        As recorded, for example "Ada Lovelace" and "mma.sync".
    types : tuple of str
        a, b, c, d.
    k : int
        Elements of K per instruction.
    scale, scale_block
        Type of the block scales and elements per scale; None and 0 without.
    text : str
        The whole name, which may hold `satfinite` or end in `_1k`.
    """

    arch: str
    family: str
    types: tuple[str, str, str, str]
    k: int
    scale: str | None
    scale_block: int
    text: str

    def unit(self, *, padded: bool = False) -> Unit | None:
        """Find the unit, or None where there is none.

        Parameters
        ----------
        padded : bool
            Whether K may be shorter than the unit's, with zeros in the rest: so a device records a short dot product,
            for it only runs whole instructions.
        """
        arch = self.arch.lower().replace(" ", "-")
        prefix = f"{_ARCHITECTURES.get(arch, arch)}/{next((f for f in _FAMILIES if f in self.family), '?')}"
        found = [u for u in units().values() if u.name.startswith((f"{prefix}.", f"{prefix}-")) and self._fits(u)]
        for u in found:
            if u.k == self.k:
                return u
        for u in found:
            if _depth_suffix(u) is not None:
                continue
            if isinstance(
                u.model, (Chain, IntegerDot, BinaryDot)
            ):  # one sum, however many products an instruction holds
                return replace(u, k=self.k)
            if self.k % u.k == 0 or padded:  # a chain of shorter instructions
                return u
        return None

    def _fits(self, u: Unit) -> bool:
        if (u.a, u.b, u.c, u.d, u.scale, u.scale_block) != (*self.types, self.scale, self.scale_block):
            return False
        if isinstance(u.model, IntegerDot) and u.model.clamp != ("satfinite" in self.text):
            return False
        if isinstance(u.model, Chain) and u.model.rounding != _ROUNDINGS.get(self.text[-3:], "nearest-even"):
            return False
        if isinstance(u.model, BinaryDot) and f"{u.model.operation}.popc" not in self.text:
            return False
        # CDNA2 has two bf16 instructions of the same shape; `_1k` multiplies four at a time, the older one two
        return ("-1k" in u.name) == self.text.endswith("_1k")


def _depth_suffix(u: Unit) -> str | None:
    found = re.search(r"-k\d+\.", u.name)
    return found.group() if found else None


def parse(arch: str, family: str, text: str) -> Instruction | None:
    """Read types, K and scales out of an instruction's name; None if it cannot be read.

    >>> parse("Hopper", "wgmma", "m64n16k16.f32.bf16.bf16").types
    ('bf16', 'bf16', 'f32', 'f32')
    >>> parse("CDNA3", "mfma", "f32_16x16x32_fp8_bf8").types
    ('e4m3fnuz', 'e5m2fnuz', 'f32', 'f32')
    """
    if "mfma" in family:
        match = _AMD.fullmatch(text)
        if match is None:
            return None
        a, _, b = match["ab"].partition("_")
        a, b, d = (_AMD_TYPES.get(t, t) for t in (a, b or a, match["d"]))
        return Instruction(arch, family, (a, b, d, d), int(match["k"]), None, 0, text)
    shape, *words = text.split(".")
    depth = re.fullmatch(r"m\d+n\d+k(\d+)", shape)
    kinds = [w for w in words if w in OPERANDS]
    if depth is None or len(kinds) not in (3, 4):
        return None
    d, a, b, c = (*kinds, kinds[0])[:4]
    scale = next((w for w in words if w in ("ue8m0", "ue4m3")), None)
    block = next((int(w[5:]) for w in words if re.fullmatch(r"block\d{1,3}", w)), 0)
    return Instruction(arch, family, (a, b, c, d), int(depth[1]), scale, block, text)


def operand(raw: AnyArray, kind: str) -> AnyArray:
    """View raw bits as the dtype in which `matmul` takes this operand type."""
    return np.ascontiguousarray(raw).view(operand_dtype(kind))


def raw_dtype(kind: str) -> str:
    """Name the dtype of an operand type's raw bits.

    >>> raw_dtype("e2m1"), raw_dtype("tf32")
    ('uint8', 'uint32')
    """
    return f"uint{8 * operand_dtype(kind).itemsize}"


def float_dtype(kind: str) -> str | None:
    """Name the dtype of a result type in which NaN can be told, or None for integers."""
    return {"f64": "float64", "f32": "float32", "f16": "float16"}.get(kind)
