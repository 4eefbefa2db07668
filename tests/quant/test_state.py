"""State dicts, copies, and what an optimizer holds on to."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from brevitas import config
from brevitas.nn.utils import merge_bn
from brevitas.quant import Int8WeightPerChannelFloat, Int32Bias
from torch import nn

from brevitas_a2q.quant import _quantizers as quantizers
from brevitas_a2q.quant._accumulator_aware import accumulator_aware

METHODS = ("A2Q", "A2QPlus", "ProjectedA2Q")


def model(method: str = "A2Q", bits: int = 12, bias_quant: Any = None) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        qnn.QuantReLU(bit_width=4, return_quant_tensor=True),
        qnn.QuantConv2d(
            4,
            6,
            3,
            bias=bias_quant is not None,
            bias_quant=bias_quant,
            weight_quant=getattr(quantizers, f"Int8{method}WeightPerChannelFloat"),
            weight_bit_width=6,
            weight_accumulator_bit_width=bits,
        ),
    )


def trained(method: str = "A2Q", bits: int = 12, bias_quant: Any = None) -> nn.Sequential:
    net = model(method, bits, bias_quant)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        net(torch.randn(2, 4, 6, 6)).square().mean().backward()
        optimizer.step()
    return net.eval()


@pytest.mark.parametrize("bias_quant", [None, Int32Bias])
@pytest.mark.parametrize("method", METHODS)
def test_round_trip(method: str, bias_quant: Any) -> None:
    """A model loaded from a checkpoint gives the same weights, also without an input."""
    net, other = trained(method, bias_quant=bias_quant), model(method, bias_quant=bias_quant).eval()
    other.load_state_dict(net.state_dict())
    assert torch.equal(other[1].quant_weight().value, net[1].quant_weight().value)
    x = torch.randn(2, 4, 6, 6)
    assert torch.equal(other(x), net(x))


@pytest.mark.parametrize("method", METHODS)
def test_parameters_keep_their_identity(method: str) -> None:
    """B8: upstream rebuilds the quantizer when a state dict is loaded, and the optimizer steps what nobody uses."""
    net, other = trained(method, 24), model(method, 24)  # wide enough for norms to get a gradient
    parameters = dict(other[1].named_parameters())
    optimizer = torch.optim.SGD(parameters.values(), lr=0.1)
    other.load_state_dict(net.state_dict())
    assert all(parameters[name] is value for name, value in other[1].named_parameters())
    before = {name: value.clone() for name, value in parameters.items()}
    other(torch.randn(2, 4, 6, 6)).square().mean().backward()
    optimizer.step()
    assert all(not torch.equal(before[name], value) for name, value in other[1].named_parameters())


def test_configured_width_wins_with_a_message() -> None:
    """B8: loading a P=32 checkpoint into a P=12 layer silently sets P=32 upstream."""
    net, other = trained(bits=32), model(bits=12)
    with pytest.warns(UserWarning, match="layer 1: the checkpoint was trained for a 32-bit accumulator; .* 12 bits"):
        other.load_state_dict(net.state_dict())
    assert other[1].weight_quant.accumulator_bit_width == 12
    codes = other[1].weight_quant.integer_weight()
    assert int(codes.clamp_min(0).sum(1).max()) * 15 <= 2047


@pytest.mark.parametrize("method", METHODS)
def test_deep_copies_are_independent(method: str) -> None:
    net = trained(method)
    other, x = copy.deepcopy(net), torch.randn(2, 4, 6, 6)
    assert torch.equal(other(x), net(x))
    other[1].weight.data.zero_()
    assert not torch.equal(other(x), net(x))


def test_checkpoint_of_the_plain_quantizer_loads() -> None:
    settings = {"weight_scaling_impl_type": "parameter_from_stats"}
    plain = qnn.QuantLinear(8, 4, weight_quant=Int8WeightPerChannelFloat, **settings)
    plain(torch.randn(2, 8))
    extended = qnn.QuantLinear(
        8,
        4,
        weight_quant=accumulator_aware(Int8WeightPerChannelFloat, accumulator_bit_width=32),
        weight_input_bit_width=4,
        weight_input_signed=False,
        **settings,
    )
    extended.load_state_dict(plain.state_dict())
    assert torch.equal(extended.quant_weight().value, plain.quant_weight().value)


def test_float_weights_load_and_norms_start_at_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "IGNORE_MISSING_KEYS", True)
    net = trained("A2Q", 20)
    weight = torch.randn(6, 4, 3, 3)
    net[1].load_state_dict({"weight": weight})
    net(torch.randn(2, 4, 6, 6))
    norm = net[1].weight_quant.tensor_quant.log_norm
    torch.testing.assert_close(norm.exp2().flatten(), weight.abs().flatten(1).sum(1))


def test_merging_batch_norm_starts_again_from_the_merged_weights() -> None:
    net = trained("A2Q", 20)
    parameters = dict(net[1].named_parameters())
    bn = nn.BatchNorm2d(6).eval()
    bn.weight.data.fill_(3.0)
    weight = net[1].weight.detach().clone()
    merge_bn(net[1], bn)
    assert all(net[1].get_parameter(name) is value for name, value in parameters.items())
    net(torch.randn(2, 4, 6, 6))
    norm = net[1].weight_quant.tensor_quant.log_norm
    torch.testing.assert_close(norm.exp2().flatten(), 3 * weight.abs().flatten(1).sum(1), rtol=1e-4, atol=0)


def test_a_changed_configuration_is_not_kept_back() -> None:
    net = trained("A2Q", 20)
    proxy = net[1].weight_quant
    proxy.quant_injector = proxy.quant_injector.let(bit_width=3, accumulator_bit_width=10)
    proxy.init_tensor_quant()
    assert proxy.accumulator_bit_width == 10
    assert proxy.tensor_quant.code_range == (-3, 3)


def test_state_before_the_first_forward_carries_no_norm() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        keys = model().state_dict().keys()
    assert not [key for key in keys if key.endswith(("log_norm", "scaling_impl.value"))]
