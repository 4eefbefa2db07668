"""A zero-point can be subtracted before the products or from the sum: the certificate says which it speaks of."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import onnx
import pytest
import torch
from brevitas.quant import Int8WeightPerChannelFloat, Int8WeightPerTensorFloat, ShiftedUint8ActPerTensorFloat
from torch import nn

from brevitas_a2q import Certificate
from brevitas_a2q.errors import ConfigError
from brevitas_a2q.quant import accumulator_aware
from brevitas_a2q.quant._quantizers import Int8A2QPlusWeightPerChannelFloat, Int8ProjectedA2QWeightPerChannelFloat
from brevitas_a2q.verify._certify import certify


@pytest.mark.parametrize("quantizer", [Int8A2QPlusWeightPerChannelFloat, Int8ProjectedA2QWeightPerChannelFloat])
def test_sums_of_raw_codes_are_named_and_right(quantizer: object) -> None:
    torch.manual_seed(0)
    act = qnn.QuantIdentity(act_quant=ShiftedUint8ActPerTensorFloat, bit_width=3, return_quant_tensor=True)
    layer = qnn.QuantLinear(400, 6, bias=False, weight_quant=quantizer, weight_accumulator_bit_width=14)
    model = nn.Sequential(act, layer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Brevitas does not compute the zero-point of the output
        model(torch.randn(8, 400) + 0.8)
        (found,) = certify(model.eval(), torch.zeros(1, 400)).layers
        codes = layer.weight_quant.integer_weight()
    plus, minus = 7 * codes.clamp_min(0).sum(1), 7 * codes.clamp_max(0).sum(1)
    low, high = int(minus.min()), int(plus.max())
    (note,) = found.notes
    assert f"[{low}, {high}]" in note
    assert ("raw" in found.guards) == (low >= -(2**13) and high < 2**13)
    assert "subtracted" in found.guards
    assert found.zero_point == "subtracted"
    assert found.holds


def asymmetric(method: str, zero_point: str | None, size: int = 400) -> tuple[nn.Module, Any]:
    """A layer behind 3-bit codes with a zero-point above 0, whose weights have mostly one sign."""
    torch.manual_seed(0)
    act = qnn.QuantIdentity(act_quant=ShiftedUint8ActPerTensorFloat, bit_width=3, return_quant_tensor=True)
    quantizer = accumulator_aware(Int8WeightPerChannelFloat, method, 14, zero_point=zero_point)
    layer = qnn.QuantLinear(size, 6, bias=False, weight_quant=quantizer)
    nn.init.uniform_(layer.weight, -0.2, 1.0)
    model = nn.Sequential(act, layer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model(torch.randn(8, size) + 0.8)
    return model.eval(), layer.weight_quant


def raw_ends(proxy: Any) -> tuple[int, int]:
    """Lowest and highest sum of codes in [0, 7], by Python's integers."""
    rows = [[int(code) for code in row] for row in proxy.integer_weight()]
    return min(7 * sum(min(q, 0) for q in row) for row in rows), max(7 * sum(max(q, 0) for q in row) for row in rows)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("method", "zero_point", "guards"),
    [
        ("projected", None, ("subtracted",)),
        ("projected", "subtracted", ("subtracted",)),
        ("projected", "raw", ("subtracted", "raw")),  # raw codes that fit leave room for both
        ("a2q", "raw", ("subtracted", "raw")),
        ("a2q+", None, ("subtracted", "raw")),  # at no cost
        ("a2q+", "raw", ("subtracted", "raw")),
    ],
)
def test_the_datapath_that_is_asked_for_is_guarded(method: str, zero_point: str | None, guards: tuple[str]) -> None:
    model, proxy = asymmetric(method, zero_point)
    (found,) = certify(model, torch.zeros(1, 400)).layers
    low, high = raw_ends(proxy)
    assert (low >= -(2**13) and high < 2**13) == ("raw" in guards)
    assert found.guards == guards
    assert found.zero_point == (zero_point or "subtracted")
    if zero_point == "raw":
        assert (min(found.sums.lower), max(found.sums.upper)) == (low, high)
        assert (found.input_range.lower, found.input_range.upper) == (0, 7)
    again = Certificate.from_json(certify(model, torch.zeros(1, 400)).to_json())
    assert again.layers[0] == found


@pytest.mark.filterwarnings("ignore")
def test_a_range_of_codes_is_kept_with_the_state() -> None:
    model, proxy = asymmetric("projected", "raw")
    again, other = asymmetric("projected", "raw")
    with torch.no_grad():
        other.input_raw.zero_()
    again.load_state_dict(model.state_dict())
    assert other.input_raw.tolist() == [0, 7]
    torch.testing.assert_close(other.integer_weight(), proxy.integer_weight())


@pytest.mark.filterwarnings("ignore")
def test_a_file_names_its_datapath(tmp_path: Path) -> None:
    from brevitas_a2q import export_qonnx

    model, _ = asymmetric("projected", "raw")
    path = tmp_path / "raw.onnx"
    export_qonnx(model, torch.zeros(1, 400), path)
    (node,) = [node for node in onnx.load(path).graph.node if node.op_type in ("MatMul", "Gemm")]
    assert {p.key: p.value for p in node.metadata_props}["a2q.zero_point"] == "raw"
    (found,) = certify(path).layers
    assert (found.zero_point, found.guards) == ("raw", ("subtracted", "raw"))


def test_other_datapaths_are_refused() -> None:
    with pytest.raises(ConfigError, match="zero_point = 'none'"):
        accumulator_aware(Int8WeightPerChannelFloat, zero_point="none")


@pytest.mark.parametrize(("size", "bits"), [(1, 10), (2, 12), (5, 13)])
def test_taps_in_the_padding_are_no_part_of_a_sum(size: int, bits: int) -> None:
    act = qnn.QuantReLU(bit_width=4, return_quant_tensor=True)
    conv = qnn.QuantConv2d(4, 3, 3, padding=1, bias=False, weight_quant=Int8WeightPerTensorFloat, weight_bit_width=4)
    nn.init.constant_(conv.weight, 1.0)
    model = nn.Sequential(act, conv)
    model(torch.rand(1, 4, size, size))
    (found,) = certify(model.eval(), torch.rand(1, 4, size, size)).layers
    assert found.required_bit_width == bits
    taps = torch.tensor(found.witness()).reshape(4, 3, 3)
    assert int((7 * taps).sum()) == found.upper
    assert int((taps.amax(0) > 0).sum()) == min(size, 3) ** 2


@pytest.mark.filterwarnings("ignore")
def test_codes_of_both_calls_of_a_layer_count() -> None:
    """The wider type of two need not have the wider codes."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = qnn.QuantIdentity(act_quant=ShiftedUint8ActPerTensorFloat, bit_width=5)
            self.second = qnn.QuantIdentity(bit_width=6, return_quant_tensor=True)
            quantizer = accumulator_aware(Int8WeightPerChannelFloat, "projected", 12, zero_point="raw")
            self.layer = qnn.QuantLinear(16, 4, False, weight_quant=quantizer)

        def forward(self, x: torch.Tensor) -> Any:
            return self.layer(self.first(x)) + self.layer(self.second(x) + self.second(x))

    torch.manual_seed(0)
    model = Twice()
    model(torch.randn(8, 16) + 0.5)
    (found,) = certify(model.eval(), torch.zeros(1, 16)).layers
    rows = model.layer.weight_quant.integer_weight()
    highest = max(31 * sum(max(int(q), 0) for q in row) for row in rows)
    assert max(found.sums.upper) >= highest
    lowest = max(64 * sum(max(int(q), 0) for q in row) for row in rows)  # of codes down to -64
    assert min(found.sums.lower) <= -lowest
