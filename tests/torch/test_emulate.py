"""Emulated layers in a real torch module have the unit's bits, share parameters, and let gradients through."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.testing import assert_bits_equal

torch = pytest.importorskip("torch", reason="torch is not installed")
from chipmeter.torch import EmulatedLayer, emulate


def network() -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(32, 24), torch.nn.GELU(), torch.nn.Linear(24, 8, bias=False))


def test_bits_are_the_units() -> None:
    layer = torch.nn.Linear(64, 16)
    x = torch.randn(5, 64)
    got = emulate(layer, unit="h100/bf16")(x).detach().numpy()
    a, b = cm.cast(x.numpy(), "bfloat16"), cm.cast(layer.weight.detach().numpy().T, "bfloat16")
    want = cm.matmul(a, b, unit="h100/bf16") + layer.bias.detach().numpy()
    assert_bits_equal(got, want)


@pytest.mark.parametrize("unit", ["h100/fp8", "b200/mxfp8", "b200/nvfp4", "a100/int8", "trn2/fp8"])
def test_units_differ_from_float32_by_their_error_only(unit: str) -> None:
    net = network()
    x = torch.randn(7, 3, 32)
    exact = net(x)
    got = emulate(net, unit=unit)(x)
    assert got.shape == exact.shape
    assert 5 < cm.sqnr(exact.detach().numpy(), got.detach().numpy()) < 60


def test_parameters_are_shared_and_nothing_is_copied() -> None:
    net = network()
    before = [p.data_ptr() for p in net.parameters()]
    emulate(net, unit="h100/bf16")
    assert [p.data_ptr() for p in net.parameters()] == before
    assert set(net.state_dict()) == {"0.weight", "0.bias", "2.weight"}


def test_gradients_are_those_of_the_exact_layer() -> None:
    layer = torch.nn.Linear(6, 4).double().float()
    x = torch.randn(3, 6, requires_grad=True)
    weight = torch.randn(3, 4)
    (layer(x) * weight).sum().backward()
    want = [x.grad.clone(), layer.weight.grad.clone(), layer.bias.grad.clone()]
    x.grad = layer.weight.grad = layer.bias.grad = None
    (emulate(layer, unit="h100/bf16")(x) * weight).sum().backward()
    for a, b in zip(want, (x.grad, layer.weight.grad, layer.bias.grad), strict=True):
        torch.testing.assert_close(a, b)


def test_training_moves_an_emulated_network() -> None:
    net = emulate(network(), unit="h100/fp8")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.2)
    x, y = torch.randn(64, 32), torch.randn(64, 8)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = ((net(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_modules_keep_their_dtype(dtype: str) -> None:
    net = network().to(getattr(torch, dtype))
    y = emulate(net, unit="h100/bf16")(torch.randn(2, 32).to(getattr(torch, dtype)))
    assert y.dtype == getattr(torch, dtype)


def test_layers_can_be_chosen() -> None:
    net = emulate(network(), unit="h100/bf16", select=lambda name: name == "2")
    assert not isinstance(net[0], EmulatedLayer)
    assert isinstance(net[2], EmulatedLayer)
    assert "hopper/wgmma.bf16" in repr(net)


def test_recipes() -> None:
    assert emulate(network(), unit="h100/fp8", recipe="fp8")[0].linear.recipe == "fp8"
    with pytest.raises(ValueError, match="takes operands by fp8-row, fp8, got 'nvfp4'"):
        emulate(network(), unit="h100/fp8", recipe="nvfp4")
    with pytest.raises(ValueError, match="unknown recipe 'fp9'"):
        emulate(network(), unit="h100/fp8", recipe="fp9")


def test_bad_input() -> None:
    with pytest.raises(TypeError, match=r"torch\.nn\.Module, got int"):
        emulate(3, unit="h100/bf16")
    with pytest.raises(ValueError, match="no linear layer"):
        emulate(torch.nn.Sequential(torch.nn.ReLU()), unit="h100/bf16")
    with pytest.raises(TypeError, match=r"got torch\.float64"):
        emulate(torch.nn.Linear(2, 2).double(), unit="h100/bf16")(torch.zeros(1, 2).double())
    with pytest.raises(ValueError, match="runs on the CPU"):
        emulate(torch.nn.Linear(2, 2), unit="h100/bf16")(torch.zeros(1, 2, device="meta"))


def test_chipmeter_itself_never_imports_torch() -> None:
    code = "import sys, chipmeter, chipmeter.frontier, chipmeter.testing; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_missing_torch_says_what_to_install() -> None:
    code = "import sys; sys.modules['torch'] = None\ntry: import chipmeter.torch\nexcept ImportError as e: print(e)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch is not installed: pip install 'chipmeter[torch]'" in done.stdout
    assert np.__name__ == "numpy"
