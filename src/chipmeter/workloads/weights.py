"""The weight matrices of a model: their shapes and the checkpoint tensors that hold them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec


class Weight(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of weight matrix, repeated over layers and experts.

    Attributes
    ----------
    role : str
        What the matrix does: ``"q"``, ``"down"``, ``"expert_up"``, ...
    pattern : str
        Name of the checkpoint tensor, with ``{i}`` for the layer and ``{e}`` for the expert.
    n, k : int
        Output and input features. The tensor has shape (n, k), or (k, n) if `transposed`.
    layers : tuple of int
        The layers that have this matrix; empty for a matrix outside the layers.
    experts : int
        Experts per layer; 0 for a matrix that is not an expert's.
    bias : bool
        Whether n bias values go with each matrix.
    transposed : bool
        Whether the checkpoint stores (k, n), as GPT-2 does.
    """

    role: str
    pattern: str
    n: int
    k: int
    layers: tuple[int, ...] = ()
    experts: int = 0
    bias: bool = False
    transposed: bool = False

    @property
    def matrices(self) -> int:
        """How many such matrices the model holds."""
        return max(1, len(self.layers)) * max(1, self.experts)

    @property
    def parameters(self) -> int:
        """Parameters of all of them, biases included."""
        return self.matrices * (self.n * self.k + (self.n if self.bias else 0))

    def tensors(self) -> Iterator[str]:
        """Name every checkpoint tensor of this kind, layer by layer.

        >>> list(Weight(role="q", pattern="layers.{i}.q_proj.weight", n=8, k=8, layers=(0, 1)).tensors())
        ['layers.0.q_proj.weight', 'layers.1.q_proj.weight']
        """
        for layer in self.layers or (0,):
            # Some checkpoints hold the experts of a layer in one tensor.
            for expert in range(max(1, self.experts) if "{e}" in self.pattern else 1):
                yield self.pattern.replace("{i}", str(layer)).replace("{e}", str(expert))

    def matches(self, tensor: str) -> bool:
        """Whether a checkpoint tensor is one of these, whatever model prefix the checkpoint was saved with.

        The same model is published with and without a leading ``model.`` or ``transformer.``, so only the part from
        the list of layers on is compared.

        >>> weight = Weight(role="q", pattern="model.layers.{i}.q_proj.weight", n=8, k=8, layers=(0, 1))
        >>> weight.matches("layers.1.q_proj.weight"), weight.matches("model.layers.7.q_proj.weight")
        (True, False)
        """
        parts = self.pattern.split(".")
        tail = parts[parts.index("{i}") - 1 :] if "{i}" in parts else parts
        number = r"(0|[1-9]\d{0,5})"
        rule = r"\.".join(number if part in ("{i}", "{e}") else re.escape(part) for part in tail)
        found = re.fullmatch(rf"(?:\w+\.)*?{rule}", tensor, flags=re.ASCII)
        if found is None:
            return False
        numbers = dict(zip((part for part in tail if part in ("{i}", "{e}")), map(int, found.groups()), strict=True))
        return ("{i}" not in numbers or numbers["{i}"] in self.layers) and numbers.get("{e}", 0) < max(1, self.experts)
