"""A weight names its checkpoint tensors, finds them under any model prefix, and counts its parameters."""

import pytest

from chipmeter.workloads import Weight, preset


def test_tensor_names_run_over_layers_and_experts() -> None:
    weight = Weight(role="up", pattern="m.layers.{i}.experts.{e}.up.weight", n=3, k=2, layers=(1, 4), experts=2)
    assert list(weight.tensors()) == [
        "m.layers.1.experts.0.up.weight",
        "m.layers.1.experts.1.up.weight",
        "m.layers.4.experts.0.up.weight",
        "m.layers.4.experts.1.up.weight",
    ]
    assert weight.matrices == 4
    assert weight.parameters == 24


def test_bias_counts_as_parameters() -> None:
    assert Weight(role="q", pattern="q.{i}.weight", n=3, k=2, layers=(0, 1), bias=True).parameters == 2 * (6 + 3)


@pytest.mark.parametrize(
    ("tensor", "is_one"),
    [
        ("model.layers.3.mlp.experts.7.up.weight", True),
        ("layers.3.mlp.experts.7.up.weight", True),
        ("a.b.model.layers.3.mlp.experts.7.up.weight", True),
        ("model.layers.4.mlp.experts.7.up.weight", False),  # no such layer
        ("model.layers.3.mlp.experts.8.up.weight", False),  # no such expert
        ("model.layers.03.mlp.experts.7.up.weight", False),
        ("model.layers.3.mlp.experts.7.up.weight.scale", False),
        ("model.layers.3.mlp.experts.7.up_weight", False),
        ("xlayers.3.mlp.experts.7.up.weight", False),
        ("model.layers.99999999999999999999.mlp.experts.7.up.weight", False),
    ],
)
def test_matches(tensor: str, is_one: bool) -> None:
    weight = Weight(role="up", pattern="model.layers.{i}.mlp.experts.{e}.up.weight", n=1, k=1, layers=(3,), experts=8)
    assert weight.matches(tensor) is is_one


def test_every_tensor_matches_its_own_weight_and_no_other() -> None:
    for name in ("minilm", "gpt2", "phi-3-mini", "deepseek-v3", "pythia-6.9b"):
        weights = preset(name).weights
        for weight in weights:
            tensor = next(weight.tensors())
            assert [other.role for other in weights if other.matches(tensor)] == [weight.role]


def test_minilm_names_are_those_of_its_checkpoint() -> None:
    query = preset("minilm").weight("q")
    assert query is not None
    assert next(query.tensors()) == "encoder.layer.0.attention.self.query.weight"
    assert (query.n, query.k, len(query.layers), query.bias) == (384, 384, 6, True)


def test_gpt2_stores_its_matrices_transposed() -> None:
    fused, table = preset("gpt2").weight("qkv"), preset("gpt2").weight("embed")
    assert fused is not None
    assert table is not None
    assert (fused.n, fused.k, fused.transposed, table.transposed) == (2304, 768, True, False)
