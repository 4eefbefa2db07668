"""Every integer activation quantizer that Brevitas ships, fused, gives Brevitas' values and gradients."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import Int8ActPerTensorFixedPoint, Int8ActPerTensorFloat, Uint8ActPerTensorFloat
from torch import Tensor, nn

from brevitas_a2q.quant._activations import fused, quantizers
from brevitas_a2q.quant._activations.tensor_quant import FusedIntQuant

PER_CHANNEL = {
    "scaling_per_output_channel": True,
    "per_channel_broadcastable_shape": (1, 6, 1, 1),
    "scaling_stats_permute_dims": (1, 0, 2, 3),
}


def layer_pair(kind: Any, base: Any, **options: Any) -> tuple[nn.Module, nn.Module]:
    """A layer by Brevitas' own operations, and the same fused."""
    theirs, ours = (
        kind(act_quant=quantizer, bit_width=4, return_quant_tensor=True, **options) for quantizer in (base, fused(base))
    )
    ours.load_state_dict(theirs.state_dict(), strict=False)
    return theirs, ours


def run(layer: nn.Module, x: Tensor, grad: Tensor) -> tuple[Any, list[Tensor | None]]:
    """What a layer gives, and the gradients of its input and parameters."""
    x = x.detach().requires_grad_()
    layer.zero_grad()
    out = layer(x)
    out.value.backward(grad.to(out.value.dtype))
    return out, [x.grad, *(parameter.grad for parameter in layer.parameters())]


def finish_collection(*layers: nn.Module) -> None:
    for layer in layers:
        for module in layer.modules():
            if hasattr(module, "collect_stats_steps"):
                module.counter = module.collect_stats_steps


def assert_equal(
    theirs: nn.Module, ours: nn.Module, shape: tuple[int, ...], dtype: torch.dtype, tolerance: float
) -> None:
    """Over two steps that collect statistics, one after them, and in evaluation."""
    for step in range(4):
        if step == 2:
            finish_collection(theirs, ours)
        for layer in (theirs, ours):
            layer.train(step != 3)
        generator = torch.Generator().manual_seed(step)
        x, grad = (torch.randn(shape, generator=generator).to(dtype) for _ in range(2))
        (want, want_grads), (got, got_grads) = run(theirs, x, grad), run(ours, x, grad)
        assert got.value.dtype == want.value.dtype
        assert torch.equal(got.value, want.value)
        assert torch.equal(got.scale, want.scale)
        assert torch.equal(got.zero_point, want.zero_point)
        for one, other in zip(got_grads, want_grads, strict=True):
            assert (one is None) == (other is None)
            if one is not None and other is not None:
                torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def options_of(name: str) -> dict[str, float]:
    return {"min_val": -1.5, "max_val": 1.5} if "MinMaxInit" in name else {"max_val": 1.5} if "MaxInit" in name else {}


@pytest.mark.filterwarnings("ignore:Positional args are being deprecated:FutureWarning")  # of Brevitas' zero-points
@pytest.mark.parametrize("name", quantizers.__all__)
def test_every_quantizer(name: str) -> None:
    base = getattr(quantizers, name).__mro__[2]
    assert f"Fused{base.__name__}" == name
    theirs, ours = layer_pair(qnn.QuantReLU, base, **options_of(name))
    assert isinstance(ours.act_quant.fused_activation_quant_proxy.tensor_quant, FusedIntQuant)
    shape = (5, 6, 7) if name.endswith("1d") else (5, 6, 3, 4)
    assert_equal(theirs, ours, shape, torch.float32, 1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("kind", [qnn.QuantReLU, qnn.QuantIdentity])
@pytest.mark.parametrize("options", [{}, PER_CHANNEL], ids=["tensor", "channel"])
def test_types_and_granularities(kind: Any, dtype: torch.dtype, options: dict[str, Any]) -> None:
    base = Uint8ActPerTensorFloat if kind is qnn.QuantReLU else Int8ActPerTensorFloat
    pair = layer_pair(kind, base, **options)
    # Sums of sixteen-bit gradients lose more in Brevitas, which adds them up in their own type.
    assert_equal(*pair, (5, 6, 3, 4), dtype, 0.3 if dtype == torch.bfloat16 else 1e-4)


@pytest.mark.parametrize("rounding", ["FLOOR", "CEIL", "ROUND_TO_ZERO", "DPU"])
def test_rounding_modes(rounding: str) -> None:
    pair = layer_pair(qnn.QuantIdentity, Int8ActPerTensorFixedPoint, float_to_int_impl_type=rounding)
    assert pair[1].act_quant.unfused_because is None
    assert_equal(*pair, (5, 6, 3, 4), torch.float32, 1e-4)


def test_learned_bit_width_and_constant_scale() -> None:
    assert_equal(
        *layer_pair(qnn.QuantReLU, Uint8ActPerTensorFloat, bit_width_impl_type="parameter"),
        (5, 6, 3, 4),
        torch.float32,
        1e-4,
    )
    options = {"scaling_impl_type": "const", "scaling_init": 1.0}
    assert_equal(*layer_pair(qnn.QuantReLU, Uint8ActPerTensorFloat, **options), (40,), torch.float32, 1e-4)


def test_relu6_is_fused_in_and_hard_tanh_is_the_clipping() -> None:
    theirs, ours = layer_pair(qnn.QuantReLU, Uint8ActPerTensorFloat)
    for layer in (theirs, ours):
        layer.act_quant.fused_activation_quant_proxy.activation_impl = nn.ReLU6()
    assert_equal(theirs, ours, (5, 600), torch.float32, 1e-4)
    pair = layer_pair(qnn.QuantHardTanh, Int8ActPerTensorFloat, min_val=-1.0, max_val=1.0)
    assert_equal(*pair, (5, 60), torch.float32, 1e-4)


def test_other_functions_go_before() -> None:
    assert_equal(*layer_pair(qnn.QuantSigmoid, Uint8ActPerTensorFloat), (5, 60), torch.float32, 1e-4)


@pytest.mark.parametrize("options", [{"float_to_int_impl_type": "STOCHASTIC_ROUND"}, {"quant_delay_steps": 3}])
def test_what_cannot_be_fused_says_so(options: dict[str, Any]) -> None:
    layer = qnn.QuantReLU(act_quant=fused(Uint8ActPerTensorFloat), **options)
    assert layer.act_quant.unfused_because
    assert layer(torch.randn(8)).shape == (8,)


def test_checkpoints_of_either_form_load_into_the_other() -> None:
    theirs, ours = layer_pair(qnn.QuantReLU, Uint8ActPerTensorFloat)
    finish_collection(theirs)
    theirs(torch.randn(100))
    state = theirs.state_dict()
    ours.load_state_dict(state)
    assert ours.state_dict().keys() == state.keys()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(100)
    assert torch.equal(ours.eval()(x).value, theirs.eval()(x).value)
