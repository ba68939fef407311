"""How many bytes an element of a number format takes, and which formats a piece of work uses where."""

from __future__ import annotations

import msgspec

from chipmeter._names import unknown_name

BITS: dict[str, float] = {
    "fp64": 64.0,
    "fp32": 32.0,
    "tf32": 32.0,
    "bf16": 16.0,
    "fp16": 16.0,
    "fp8": 8.0,
    "int8": 8.0,
    "int4": 4.0,
    "mxfp8": 8.0 + 8.0 / 32.0,
    "mxfp6": 6.0 + 8.0 / 32.0,
    "mxfp4": 4.0 + 8.0 / 32.0,
    "nvfp4": 4.0 + 8.0 / 16.0,
}
"""Stored bits per element, the shared scale of a block included. Scales of whole tensors or rows are not counted."""


def bytes_per_element(format: str) -> float:
    """Bytes that one stored element of a number format takes, its share of the block scale included.

    Parameters
    ----------
    format : str
        A number format: ``"bf16"``, ``"fp8"``, ``"mxfp8"``, ``"nvfp4"``, ...

    Raises
    ------
    ValueError
        If the format is unknown.

    Examples
    --------
    >>> bytes_per_element("bf16"), bytes_per_element("nvfp4")
    (2.0, 0.5625)
    """
    try:
        return BITS[format] / 8.0
    except (KeyError, TypeError):
        raise unknown_name("number format", format, BITS) from None


class Formats(msgspec.Struct, frozen=True, kw_only=True):
    """Which number format each kind of data uses.

    Attributes
    ----------
    gemm : str
        Operands as the matrix unit reads them; selects the peak rate.
    weight : str
        Weights as stored in memory. Differs from `gemm` for weight-only quantisation.
    activation : str
        Everything that flows between operations: GEMM outputs, norms, residuals.
    kv : str
        The key-value cache.
    """

    gemm: str
    weight: str
    activation: str
    kv: str

    def __post_init__(self) -> None:
        for format in (self.gemm, self.weight, self.activation, self.kv):
            bytes_per_element(format)

    @classmethod
    def of(
        cls, gemm: str, *, weight: str | None = None, activation: str | None = None, kv: str | None = None
    ) -> Formats:
        """Derive the formats that follow from the GEMM format alone unless given.

        Weights are stored in the GEMM format. Data between operations stays in 16 bits when the GEMM format is
        narrower, as serving and training stacks keep it; the cache is stored like the data between operations.

        >>> Formats.of("mxfp8")
        Formats(gemm='mxfp8', weight='mxfp8', activation='bf16', kv='bf16')
        >>> Formats.of("fp32").kv
        'fp32'
        """
        if activation is None:
            bytes_per_element(gemm)
            activation = "bf16" if BITS[gemm] < 16 else "fp32" if gemm == "tf32" else gemm
        return cls(gemm=gemm, weight=weight or gemm, activation=activation, kv=kv or activation)
