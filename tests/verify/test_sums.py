"""What a certificate promises: driven by its witness or at random a layer stays inside, and one bit less overflows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from brevitas.quant import Int8AccumulatorAwareZeroCenterWeightQuant
from torch import Tensor, nn

from brevitas_a2q._ir.dot_product import DotProductLayer
from brevitas_a2q._ir.layers import dot_product_layers
from brevitas_a2q._ir.reader import read_network
from brevitas_a2q.errors import ModelError
from brevitas_a2q.models import QuantSpec, build_model
from brevitas_a2q.verify._accumulate import ORDERS, Accumulators, accumulate
from brevitas_a2q.verify._certificate import certify_layers
from brevitas_a2q.verify._certify import certify
from brevitas_a2q.verify._layer_certificate import LayerCertificate
from brevitas_a2q.verify._products import Products
from brevitas_a2q.verify._simulate import simulate
from brevitas_a2q.verify._torch_model import layers_of

NETWORKS = ("tfc_w4a4", "tfc_w4a4_a2q12", "cnv_w4a4", "cnv_w4a4_a2q12", "mobilenet_w4a4_a2q12", "resnet_w4a4")


def overflows(certified: LayerCertificate, inputs: Any, bits: int, overflow: Any, order: Any) -> int:
    """Overflows of a layer with accumulators of this width, for inputs of shape (n, K)."""
    layer = certified.layer
    assert layer is not None
    bias = None if layer.bias is None else torch.from_numpy(layer.bias.copy())
    products = Products(torch.from_numpy(layer.weights.copy()))
    return accumulate(products, torch.from_numpy(inputs), bias, Accumulators(bits, overflow, order))[1]


def check_guarantee(layers: Sequence[DotProductLayer]) -> None:
    generator = np.random.default_rng(0)
    for certified in certify_layers(layers).layers:
        layer, width = certified.layer, certified.required_bit_width
        assert layer is not None
        shape = (6, layer.dot_product_size)
        low, high = (np.broadcast_to(ends, layer.weights.shape).copy() for ends in (layer.x_lo, layer.x_hi))
        # Where rows see other inputs than each other (grouped layers), what all of them may see.
        at_random = generator.integers(low.max(axis=0), high.min(axis=0) + 1, shape)
        extreme = np.where(generator.integers(0, 2, shape) == 1, high.min(axis=0), low.max(axis=0))
        witnesses = np.stack([certified.witness(end=end) for end in ("lower", "upper")])
        # A sum over products that see different inputs has a witness of its own channel only.
        driven = [at_random, extreme] + ([witnesses] if certified.input_range.sha256 is None else [])
        for overflow, order in (*(("check", order) for order in ORDERS), ("saturate", "forward"), ("wrap", "random")):
            assert not overflows(certified, np.concatenate(driven), max(width, 2), overflow, order), certified.name
            if width > 2:
                assert overflows(certified, witnesses, width - 1, overflow, order), certified.name


@pytest.mark.parametrize("name", NETWORKS)
def test_reference_files(name: str, oracle: Callable[[str], Path]) -> None:
    check_guarantee(dot_product_layers(read_network(oracle(f"models/{name}.onnx"))))


def test_brevitas_model(zoo: nn.Module, images: Tensor) -> None:
    check_guarantee([layer for layer in layers_of(zoo, images) if layer.bias is None])


def depthwise_a2q_plus(weight: float) -> nn.Module:
    """A depthwise 3x3 layer of Brevitas' A2Q+ quantizer for P = 16, N = 8, all its weights this number."""
    layer = qnn.QuantConv2d(
        16,
        16,
        3,
        groups=16,
        bias=False,
        weight_quant=Int8AccumulatorAwareZeroCenterWeightQuant,
        weight_accumulator_bit_width=16,
    )
    with torch.no_grad():
        layer.weight.fill_(weight)
    return nn.Sequential(qnn.QuantReLU(bit_width=8, return_quant_tensor=True), layer).eval()


def test_an_upstream_quantizer_that_breaks_its_promise_is_found_out() -> None:
    # UPSTREAM row 1: every integer weight comes out as -32, and 9 * -32 * 255 = -73,440 needs 18 bits.
    model, image = depthwise_a2q_plus(0.1), torch.ones(1, 16, 3, 3)
    certificate = certify(model, image)
    worst = certificate.layers[0]
    assert not certificate.holds
    assert (worst.lower, worst.required_bit_width, worst.margin_bits) == (-73_440, 18, -2)
    brightest = torch.full_like(image, 1e9)  # beyond the quantizer's range, so that every input is 255
    assert sum(simulate(model, brightest).overflows.values()) == 16


def test_an_upstream_quantizer_that_makes_nan_is_named() -> None:
    with pytest.raises(ModelError, match="layer 1, weight: found values that are infinite or no numbers"):
        certify(depthwise_a2q_plus(0.0), torch.ones(1, 16, 3, 3))


@pytest.mark.parametrize("method", ["a2q", "a2q+", "projected"])
def test_accumulator_aware_model_holds_its_target(method: Any) -> None:
    torch.manual_seed(0)
    spec = QuantSpec(method=method, accumulator_bit_width=11)
    model = build_model("digits-cnn", spec)
    images = torch.rand(32, 1, 8, 8)
    for _ in range(2):
        model(images)
    layers = layers_of(model.eval(), images)
    assert [layer.accumulator_bit_width for layer in layers] == [None, 11, 11, 11, None]
    certificate = certify_layers(layers)
    assert certificate.holds
    check_guarantee(layers)
    extremes = torch.cat([images, torch.zeros_like(images), torch.ones_like(images)])
    for order in ("forward", "reverse", "random"):
        assert not any(simulate(model, extremes, overflow="check", order=order).overflows.values())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["tfc_w4a4", "tfc_w4a4_a2q12"])
def test_a_witness_given_to_the_file_itself_overflows_its_first_layer(name: str, oracle: Callable[[str], Path]) -> None:
    path = oracle(f"models/{name}.onnx")
    network = read_network(path)
    first = certify_layers(dot_product_layers(network)).layers[0]
    codes = network.tensors[network.nodes[0].output].codes
    assert codes is not None
    images = np.stack([first.witness(end=end) for end in ("lower", "upper")]) * codes.scale
    for overflow in ("wrap", "saturate", "check"):
        assert simulate(path, images, first.required_bit_width, overflow).overflows[first.name] == 0  # type: ignore[arg-type]
        assert simulate(path, images, first.required_bit_width - 1, overflow).overflows[first.name] > 0  # type: ignore[arg-type]
