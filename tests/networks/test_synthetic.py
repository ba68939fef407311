"""Synthetic tensors depend on name and seed alone and have the tails and outlier channels that are documented."""

import numpy as np
import pytest

from chipmeter.networks import synthetic


def test_a_tensor_depends_on_its_name_and_the_seed_alone() -> None:
    alone = synthetic.weights("b", 7, 5)
    synthetic.weights("a", 3, 3)
    assert synthetic.weights("b", 7, 5).tobytes() == alone.tobytes()
    assert synthetic.weights("b", 7, 5, seed=1).tobytes() != alone.tobytes()
    assert synthetic.weights("c", 7, 5).tobytes() != alone.tobytes()
    assert synthetic.activations("b", 7, 5, outlier_share=0).tobytes() != alone.tobytes()


def test_drawing_in_blocks_is_drawing_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = synthetic.weights("w", 40, 30).tobytes()
    monkeypatch.setattr(synthetic, "_BLOCK_ELEMENTS", 7)
    assert synthetic.weights("w", 40, 30).tobytes() == whole


def test_weights_have_variance_one_over_k_and_the_tails_of_student_t() -> None:
    k = 1024
    scaled = synthetic.weights("w", 1024, k).astype(np.float64) * np.sqrt(k)
    assert scaled.std() == pytest.approx(1, abs=0.01)
    # Of a standardised t with 5 degrees of freedom 0.36 % lies beyond 4 deviations; of a Gaussian 0.006 %.
    assert (np.abs(scaled) > 4).mean() == pytest.approx(0.00357, abs=0.0003)


def test_a_few_channels_of_activations_are_large_for_every_token() -> None:
    plain = synthetic.activations("x", 2000, 400, outlier_share=0)
    assert plain.std() == pytest.approx(1, abs=0.02)
    spread = synthetic.activations("x", 2000, 400, outlier_share=0.01).std(axis=0)
    large = spread > 5
    assert large.sum() == 4
    low, high = synthetic.OUTLIER_FACTORS
    assert ((spread[large] > 0.8 * low) & (spread[large] < 1.2 * high)).all()
    assert spread[~large].max() < 1.5


def test_a_share_rounds_up_to_whole_channels() -> None:
    spread = synthetic.activations("x", 500, 16).std(axis=0)
    assert (spread > 5).sum() == 1


def test_shapes_dtypes_and_empty_ones() -> None:
    assert synthetic.weights("w", 3, 5).shape == (3, 5)
    assert synthetic.activations("x", 4, 6).dtype == np.float32
    assert synthetic.weights("w", 3, 0).shape == (3, 0)
    assert synthetic.activations("x", 0, 6).shape == (0, 6)
    assert synthetic.activations("x", 4, 0).shape == (4, 0)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"outlier_share is 1\.5; accepted is 0 to 1"):
        synthetic.activations("x", 2, 2, outlier_share=1.5)
    with pytest.raises(ValueError, match=r"shape \(-1, 2\)"):
        synthetic.activations("x", -1, 2)
    with pytest.raises(ValueError, match=r"shape \(2, -1\)"):
        synthetic.weights("x", 2, -1)
    with pytest.raises(ValueError, match=r"'conv': shape \(1, 2, 3\); one or two dimensions"):
        synthetic.tensors([("conv", (1, 2, 3))])


def test_the_distribution_is_graded_an_assumption() -> None:
    assert synthetic.EVIDENCE.grade == "assumed"
