"""Operations by shape and number format, for bounds and performance tests.

>>> from chipmeter import ops
>>> ops.Gemm(4096, 4096, 4096, "bf16").flops
137438953472.0
"""

from __future__ import annotations

from dataclasses import dataclass

from chipmeter import workloads
from chipmeter.workloads import Formats

__all__ = ["Attention", "Copy", "Gemm"]


@dataclass(frozen=True)
class Gemm:
    """(m, k) times (k, n).

    Parameters
    ----------
    m, n, k : int
        Rows, columns and the contracted dimension.
    format : str
        Number format of both operands, such as ``"bf16"`` or ``"mxfp8"``; the result has 16 bits or more.

    Raises
    ------
    ValueError
        For sizes below 1 or an unknown format.
    """

    m: int
    n: int
    k: int
    format: str

    def __post_init__(self) -> None:
        _ = self.operation, self.formats

    @property
    def operation(self) -> workloads.Gemm:
        """The operation as the cost model knows it."""
        return workloads.Gemm(self.m, self.n, self.k)

    @property
    def formats(self) -> Formats:
        """Formats of everything it touches."""
        return Formats.of(self.format)

    @property
    def flops(self) -> float:
        """Multiplications and additions."""
        return float(self.operation.flops)

    @property
    def bytes(self) -> float:
        """Least traffic: operands in once, result out once."""
        return self.operation.bytes(self.formats)


@dataclass(frozen=True)
class Attention:
    """Fused attention of `queries` new tokens over `keys` tokens, the queries being the last of the keys.

    Parameters
    ----------
    batch, queries, keys, heads, kv_heads, head_dim : int
    format : str
        Of queries, keys and values.
    causal : bool
    """

    batch: int
    queries: int
    keys: int
    heads: int
    kv_heads: int
    head_dim: int
    format: str = "bf16"
    causal: bool = True

    def __post_init__(self) -> None:
        _ = self.operation, self.formats

    @property
    def operation(self) -> workloads.Attention:
        """The operation as the cost model knows it."""
        return workloads.Attention(
            batch=self.batch,
            queries=self.queries,
            keys=self.keys,
            heads=self.heads,
            kv_heads=self.kv_heads,
            head_dim=self.head_dim,
            value_dim=self.head_dim,
            causal=self.causal,
        )

    @property
    def formats(self) -> Formats:
        """Formats of everything it touches."""
        return Formats.of(self.format, kv=self.format)

    @property
    def flops(self) -> float:
        """Of the two products; causal attention counts the pairs it needs."""
        return float(self.operation.flops)

    @property
    def bytes(self) -> float:
        """Least traffic: queries, keys and values in once, results out once."""
        return self.operation.bytes(self.formats)


@dataclass(frozen=True)
class Copy:
    """Bytes moved within the device's memory: `bytes` read and as many written.

    Elementwise kernels, casts and quantisers are bounded by it.
    """

    size: int

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            raise ValueError(f"size must be a positive number of bytes, got {self.size!r}")

    @property
    def flops(self) -> float:
        """None."""
        return 0.0

    @property
    def bytes(self) -> float:
        """Read and written."""
        return 2.0 * self.size
