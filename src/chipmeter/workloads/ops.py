"""Operations of a workload: plain records that count their floating-point operations and their least memory traffic.

Each record stands for `count` equal executions, and `flops`, `bytes` are totals over them. Traffic is the least any
implementation needs: every operand read once, every result written once.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from chipmeter.workloads.weights import Weight
from chipmeter.workloads.widths import Formats, bytes_per_element

Split = Literal["none", "column", "row", "groups"]
"""How tensor parallelism divides a GEMM: not at all, its outputs (n), its inputs (k, which leaves partial
sums), or its groups (heads, each on one chip)."""


class Gemm(msgspec.Struct, frozen=True, tag="gemm"):
    """(m, k) activations times a (k, n) weight matrix.

    Attributes
    ----------
    m, n, k : int
        Rows (tokens), output features, input features. With groups, `m` counts the rows of all groups together.
    name : str
    count : int
        Executions in one step, usually one per layer.
    groups : float
        Different weight matrices that share the rows: experts hit, or heads. An expectation, so not always whole.
    weights : tuple of Weight
        The checkpoint matrices multiplied; several when they are concatenated along n, as query, key and value are.
    split : {"none", "column", "row", "groups"}
        How tensor parallelism divides it.
    passes : float
        1 in inference, 3 in training: forward, gradient of the input, gradient of the weight.

    Examples
    --------
    >>> op = Gemm(16, 4096, 4096)
    >>> op.flops
    536870912
    >>> op.bytes(Formats.of("bf16"))
    33816576.0
    """

    m: int
    n: int
    k: int
    name: str = "gemm"
    count: int = 1
    groups: float = 1
    weights: tuple[Weight, ...] = ()
    split: Split = "none"
    passes: float = 1

    def __post_init__(self) -> None:
        if min(self.m, self.n, self.k, self.count) < 1 or not self.groups > 0:
            raise ValueError(f"a GEMM needs sizes and a count of at least 1, got {self!r}")

    @property
    def flops(self) -> float:
        """Multiplications and additions."""
        return self.passes * self.count * 2 * self.m * self.n * self.k

    def bytes(self, formats: Formats) -> float:
        """Least traffic: the weights once per execution, the rows in, the rows out."""
        weights = self.groups * self.n * self.k * bytes_per_element(formats.weight)
        rows_in = self.m * self.k * bytes_per_element(formats.gemm)
        rows_out = self.m * self.n * bytes_per_element(formats.activation)
        return self.passes * self.count * (weights + rows_in + rows_out)

    def live_bytes(self, formats: Formats) -> float:
        """Activations that exist at once while one execution runs."""
        return self.m * (self.n + self.k) * bytes_per_element(formats.activation)


class Attention(msgspec.Struct, frozen=True, kw_only=True, tag="attention"):
    """Scores, softmax and weighted values, fused so that the scores never reach memory.

    Attributes
    ----------
    batch, queries, keys : int
        Sequences, new tokens of each, and tokens each attends to at most. The queries are the last of the keys.
    heads, kv_heads : int
        Query heads and key-value heads.
    head_dim, value_dim : int
        Width of a query and key, and of a value.
    causal : bool
    window : int or None
        Keys that a causal query sees at most, itself included.
    shared_kv : bool
        Values are the leading part of the keys and not stored again (DeepSeek's compressed cache).
    passes : float
        1 in inference, 3.5 in training: the backward pass recomputes the scores and takes 2.5 times the forward.
    """

    batch: int
    queries: int
    keys: int
    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int
    causal: bool = True
    window: int | None = None
    shared_kv: bool = False
    name: str = "attention"
    count: int = 1
    passes: float = 1

    def __post_init__(self) -> None:
        if min(self.batch, self.queries, self.heads, self.kv_heads, self.head_dim, self.value_dim, self.count) < 1:
            raise ValueError(f"attention needs sizes and a count of at least 1, got {self!r}")
        if self.keys < (self.queries if self.causal else 1):
            raise ValueError(f"the {self.queries} queries are among the keys, but only {self.keys} keys were given")

    @property
    def pairs(self) -> int:
        """Query-key pairs of one head of one sequence."""
        if not self.causal:
            return self.queries * self.keys
        window = self.keys if self.window is None else min(self.window, self.keys)

        def seen(tokens: int) -> int:
            full = min(tokens, window)
            return full * (full + 1) // 2 + (tokens - full) * window

        return seen(self.keys) - seen(self.keys - self.queries)

    @property
    def flops(self) -> float:
        """Of the two products; the softmax is left out."""
        return self.passes * self.count * 2 * self.batch * self.pairs * self.heads * (self.head_dim + self.value_dim)

    @property
    def kv_tokens(self) -> int:
        """Cached tokens of a sequence that any query sees."""
        if self.window is None or not self.causal:
            return self.keys
        return min(self.keys, self.window + self.queries - 1)

    def bytes(self, formats: Formats) -> float:
        """Least traffic: queries in, results out, each visible key and value once per key-value head."""
        stored = self.head_dim if self.shared_kv else self.head_dim + self.value_dim
        cache = self.batch * self.kv_tokens * self.kv_heads * stored * bytes_per_element(formats.kv)
        return self.passes * self.count * (cache + self.live_bytes(formats))

    def live_bytes(self, formats: Formats) -> float:
        """Count queries and results that exist at once while one execution runs."""
        rows = self.batch * self.queries * self.heads * (self.head_dim + self.value_dim)
        return rows * bytes_per_element(formats.activation)


class Pointwise(msgspec.Struct, frozen=True, kw_only=True, tag="pointwise"):
    """A norm, residual, rotary position or activation function: a few operations per element, bound by memory.

    Attributes
    ----------
    tokens, width : int
        Rows and elements per row.
    reads, writes : float
        Passes over the elements.
    flops_per_element : float
    split : {"none", "column"}
        Whether tensor parallelism divides the width.
    """

    tokens: int
    width: int
    name: str
    reads: float = 1
    writes: float = 1
    flops_per_element: float = 5
    split: Literal["none", "column"] = "none"
    count: int = 1
    passes: float = 1

    @property
    def flops(self) -> float:
        """On the vector units."""
        return self.passes * self.count * self.tokens * self.width * self.flops_per_element

    def bytes(self, formats: Formats) -> float:
        """Traffic of the stated passes."""
        return self.passes * self.count * self.live_bytes(formats)

    def live_bytes(self, formats: Formats) -> float:
        """Operands and results that exist at once while one execution runs."""
        return self.tokens * self.width * (self.reads + self.writes) * bytes_per_element(formats.activation)


class Embedding(msgspec.Struct, frozen=True, kw_only=True, tag="embedding"):
    """Rows gathered from a table, one or several tables added."""

    tokens: int
    width: int
    tables: int = 1
    name: str = "embedding"
    count: int = 1
    passes: float = 1

    @property
    def flops(self) -> float:
        """The additions between tables."""
        return self.passes * self.count * self.tokens * self.width * (self.tables - 1)

    def bytes(self, formats: Formats) -> float:
        """Least traffic: the gathered rows in, the sum out."""
        return self.passes * self.count * self.live_bytes(formats)

    def live_bytes(self, formats: Formats) -> float:
        """Rows that exist at once while one execution runs."""
        return self.tokens * self.width * (self.tables + 1) * bytes_per_element(formats.activation)


class Optimizer(msgspec.Struct, frozen=True, kw_only=True, tag="optimizer"):
    """One AdamW step over all parameters: 32-bit master weights and two moments read and written, gradients read.

    Traffic per parameter: 4 bytes of gradient, 3 x 8 of state, and the new weight in the weight format.
    """

    parameters: int
    name: str = "optimizer"
    count: int = 1
    passes: float = 1

    @property
    def flops(self) -> float:
        """About 12 operations per parameter."""
        return 12.0 * self.passes * self.count * self.parameters

    def bytes(self, formats: Formats) -> float:
        """Traffic of one step."""
        return self.passes * self.count * self.parameters * (4 + 24 + bytes_per_element(formats.weight))

    def live_bytes(self, formats: Formats) -> float:
        """Nothing beyond the state that training keeps anyway."""
        return 0.0


class AllReduce(msgspec.Struct, frozen=True, kw_only=True, tag="all-reduce"):
    """Partial sums of (tokens, width) activations added over the chips of a tensor-parallel group; ends a block.

    On one chip nothing is left to add. `passes` is 2 in training: the backward pass adds as much.
    """

    tokens: int
    width: int
    name: str = "all-reduce"
    count: int = 1
    passes: float = 1

    @property
    def flops(self) -> float:
        """None on the chip's own units: the network adds."""
        return 0.0

    def bytes(self, formats: Formats) -> float:
        """None of memory beyond what the neighbouring operations count."""
        return 0.0

    def live_bytes(self, formats: Formats) -> float:
        """Bytes of the vector that one execution reduces."""
        return self.tokens * self.width * bytes_per_element(formats.activation)


Op = Gemm | Attention | Pointwise | Embedding | Optimizer | AllReduce
