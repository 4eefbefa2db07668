"""The integers that reach a layer: exact where they are known, on the safe side where upstream's claim is wrong."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
import torch.nn.functional as F
from brevitas.quant import (
    Int8ActPerTensorFloat,
    Int32Bias,
    ShiftedUint8ActPerTensorFloat,
    SignedBinaryActPerTensorConst,
)
from brevitas.quant_tensor import IntQuantTensor
from torch import nn

from brevitas_a2q.bounds import BIPOLAR, IntRange
from brevitas_a2q.errors import ModelError
from brevitas_a2q.quant._arrivals import Basis
from brevitas_a2q.quant._input_range import Claim, HostCopies, claim_tensors
from brevitas_a2q.quant._quantizers import Int8A2QWeightPerChannelFloat, Int8ProjectedA2QWeightPerChannelFloat


def layer(bits: int = 12, **settings: Any) -> Any:
    torch.manual_seed(0)
    return qnn.QuantLinear(
        64,
        8,
        bias=False,
        weight_quant=Int8ProjectedA2QWeightPerChannelFloat,
        weight_accumulator_bit_width=bits,
        **settings,
    )


def unsigned(bits: int) -> Any:
    return qnn.QuantReLU(bit_width=bits, return_quant_tensor=True)


def signed(bits: int) -> Any:
    return qnn.QuantIdentity(bit_width=bits, return_quant_tensor=True)


@pytest.mark.parametrize(("bits", "expected"), [(1, 1), (4, 15), (8, 255)])
def test_straight_from_a_quantizer_it_is_exact(bits: int, expected: int) -> None:
    act = unsigned(bits)
    x = act(torch.randn(3, 64))
    for same in (x, x.reshape(3, 64), F.relu(x)):
        fc = layer()
        fc(same)
        assert fc.weight_quant.input_range() == IntRange(0, expected)


def test_own_input_quantizer_is_exact_and_known_at_once() -> None:
    fc = layer(input_quant=Int8ActPerTensorFloat, input_bit_width=5)
    assert fc.weight_quant.input_range() == IntRange(-16, 15)
    narrow = layer(input_quant=Int8ActPerTensorFloat, input_bit_width=5, input_narrow_range=True)
    assert narrow.weight_quant.input_range() == IntRange(-15, 15)


@pytest.mark.parametrize("place", ["before", "own", "declared"])
def test_bipolar_inputs(place: str, no_overflow: Callable[..., None]) -> None:
    """A signed bit is -1 or 1, although Brevitas' metadata, one bit and narrow, would leave 0 alone."""
    x = torch.randn(3, 64)
    if place == "before":
        x = qnn.QuantIdentity(act_quant=SignedBinaryActPerTensorConst, return_quant_tensor=True)(x)
        assert set(x.value.unique().tolist()) == {-1.0, 1.0}
    settings = {
        "before": {},
        "own": {"input_quant": SignedBinaryActPerTensorConst},
        "declared": {"weight_input_bit_width": 1, "weight_input_signed": True},
    }
    fc = layer(6, **settings[place])
    fc(x)
    assert fc.weight_quant.input_range() == BIPOLAR
    no_overflow(fc, BIPOLAR, 6)


@pytest.mark.parametrize("act", [unsigned(1), unsigned(4), signed(4), signed(8), "bipolar"])
def test_compiled_graphs_see_the_same_range(act: Any) -> None:
    if act == "bipolar":
        act = qnn.QuantIdentity(act_quant=SignedBinaryActPerTensorConst, return_quant_tensor=True)
    x = act(torch.randn(3, 64))
    lo, hi = claim_tensors(x, False)
    assert IntRange(int(lo), int(hi)) == Claim.of(nn.Identity(), x, HostCopies()).range


def test_zero_point_of_the_input() -> None:
    act = qnn.QuantIdentity(act_quant=ShiftedUint8ActPerTensorFloat, return_quant_tensor=True)
    x = act(torch.rand(3, 64) * 3 - 1)
    zero_point = int(x.zero_point)
    assert zero_point > 0
    fc = layer(16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Brevitas does not compute the zero-point of the output
        fc(x)
    assert fc.weight_quant.input_range() == IntRange(-zero_point, 255 - zero_point)


Operation = Callable[[Any], Any]


@pytest.mark.parametrize(
    ("act", "operation", "reached"),
    [
        (signed(4), lambda x: -x, IntRange(-7, 8)),
        (signed(4), lambda x: abs(x), IntRange(0, 8)),
        (unsigned(1), lambda x: x + x, IntRange(0, 2)),
        (unsigned(1), lambda x: F.avg_pool2d(x.reshape(3, 4, 4, 4), 2, 2, 0, False, True, None), IntRange(0, 4)),
    ],
    ids=["negation", "abs", "one-bit sum", "one-bit average pool"],
)
def test_claims_that_are_too_narrow(
    act: nn.Module, operation: Operation, reached: IntRange, no_overflow: Callable[..., None]
) -> None:
    """A5: codes that upstream's bit width leaves out are counted, before they have ever been seen."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = act
            settings: Any = {"weight_bit_width": 4, "weight_accumulator_bit_width": 7}
            quantizer = Int8ProjectedA2QWeightPerChannelFloat
            size = 2 if reached.hi == 4 else 64
            self.fc = qnn.QuantLinear(size, 8, bias=False, weight_quant=quantizer, **settings)

        def forward(self, x: Any) -> Any:
            return self.fc(operation(self.act(x)))

    net = Net()
    net(0.01 * torch.randn(3, 64))
    assert net.fc.weight_quant.input_range().contains(reached)
    assert net.fc.weight_quant.arrivals.basis is Basis.TRACE
    no_overflow(net.fc, reached, 7)


def test_dropout_between_quantizer_and_layer_holds_in_evaluation(no_overflow: Callable[..., None]) -> None:
    """A5: while training, dropout scales codes beyond any claim; documented, and gone when the model is evaluated."""
    model = nn.Sequential(unsigned(4), nn.Dropout(0.5), layer(10)).eval()
    model(torch.randn(3, 64))
    no_overflow(model[2], IntRange(0, 15), 10)


def test_plain_inputs_are_refused_with_layer_and_remedy() -> None:
    """B9: a plain or float input."""
    with pytest.raises(ModelError, match=r"layer QuantLinear\(in_features=64.*return_quant_tensor=True.*declare"):
        layer()(torch.randn(3, 64))


def test_weights_without_an_input_are_refused_until_the_range_is_known() -> None:
    """B9: quant_weight(), scale() and bit_width() without an argument."""
    fc = layer()
    for ask in (fc.quant_weight, fc.weight_quant.scale, fc.weight_quant.bit_width, fc.weight_quant.integer_weight):
        with pytest.raises(ModelError, match="no quantized input has reached it yet"):
            ask()
    x = unsigned(4)(torch.randn(3, 64))
    used = fc.quant_weight(x).value
    assert torch.equal(fc.quant_weight().value, used)
    assert fc.weight_quant.scale().shape == (8, 1)
    assert int(fc.weight_quant.bit_width()) == 8


def test_declared_range_serves_a_plain_input(no_overflow: Callable[..., None]) -> None:
    fc = layer(10, weight_input_bit_width=4, weight_input_signed=True)
    fc(torch.randn(3, 64))
    no_overflow(fc, IntRange(-8, 7), 10)
    with pytest.raises(ModelError, match="without weight_input_signed"):
        layer(10, weight_input_bit_width=4)


def test_a_budget_that_holds_no_weight_gives_zeros_and_one_warning() -> None:
    fc, act = layer(4), unsigned(8)
    with pytest.warns(UserWarning, match=r"layer QuantLinear\(in_features=64.*4 accumulator bits hold no weight"):
        fc(act(torch.randn(3, 64)))
    fc(act(torch.randn(3, 64)))  # told once; warnings are errors here
    assert int(fc.weight_quant.integer_weight().abs().sum()) == 0


def test_layers_that_share_a_quantizer_share_the_wider_range(no_overflow: Callable[..., None]) -> None:
    """B9: shared quantizers."""
    first = layer(12)
    second = qnn.QuantLinear(64, 8, bias=False, weight_quant=first.weight_quant)
    first(unsigned(4)(torch.randn(3, 64)))
    second(unsigned(8)(torch.randn(3, 64)))
    first(unsigned(4)(torch.randn(3, 64)))
    no_overflow(first, IntRange(0, 255), 12)
    no_overflow(second, IntRange(0, 255), 12)


def test_layers_with_integer_biases_cannot_share_a_quantizer() -> None:
    first = qnn.QuantLinear(
        4, 4, weight_quant=Int8A2QWeightPerChannelFloat, weight_accumulator_bit_width=32, bias_quant=Int32Bias
    )
    with pytest.raises(ModelError, match="share a weight quantizer"):
        qnn.QuantLinear(4, 4, weight_quant=first.weight_quant)


def test_asking_too_early_does_not_initialize_the_scale() -> None:
    fc = layer()
    with pytest.raises(ModelError, match="no quantized input"):
        fc.quant_weight()
    assert fc.weight_quant.tensor_quant.scale_is_due


@pytest.mark.parametrize("kind", [qnn.QuantRNN, qnn.QuantLSTM])
def test_recurrent_layers_are_refused(kind: Any) -> None:
    """B9: recurrent layers give their quantizers no input."""
    with pytest.raises(ModelError, match="recurrent layers"):
        kind(4, 4, weight_quant=Int8A2QWeightPerChannelFloat)


def test_embeddings_are_refused() -> None:
    """B9: an embedding adds nothing up."""
    with pytest.raises(ModelError, match="adds no products"):
        qnn.QuantEmbedding(4, 4, weight_quant=Int8A2QWeightPerChannelFloat)


def test_copies_on_the_host_follow_changes() -> None:
    copies, bits = HostCopies(), torch.tensor(4.0)
    assert copies.extremes("bits", bits) == (4, 4)
    with torch.no_grad():
        bits.fill_(5)
    assert copies.extremes("bits", bits) == (5, 5)
    assert copies.extremes("bits", torch.tensor([2.0, 9.0])) == (2, 9)
    assert copies.extremes("bits", bits.detach()) == (5, 5)
    with torch.inference_mode():
        untracked = torch.tensor(6.0)
    assert copies.extremes("bits", untracked) == (6, 6)


def test_range_follows_state_and_copies_of_the_layer() -> None:
    first = layer(input_quant=Int8ActPerTensorFloat)
    first(torch.rand(3, 64))
    proxy = first.weight_quant
    assert proxy.input_range() == IntRange(-128, 127)
    first.load_state_dict(first.state_dict() | {"weight_quant.input_hi": torch.tensor(15)})
    assert proxy.input_range() == IntRange(-128, 15)
    twin = copy.deepcopy(first)
    proxy.input_hi.fill_(7)
    assert (twin.weight_quant.input_range(), proxy.input_range()) == (IntRange(-128, 15), IntRange(-128, 7))


def test_a_zero_point_that_is_not_finite_is_refused_by_name() -> None:
    options = {"weight_quant": Int8ProjectedA2QWeightPerChannelFloat, "weight_accumulator_bit_width": 16}
    layer = qnn.QuantLinear(2, 1, bias=False, **options)
    zero_point, bits = torch.tensor(float("nan")), torch.tensor(8.0)
    x = IntQuantTensor(torch.zeros(1, 2), torch.tensor(1.0), zero_point, bits, signed=True, training=False)
    with pytest.raises(ModelError, match="zero-point is nan"):
        layer(x)
