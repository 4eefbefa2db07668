"""What post-training quantization is given: data and models of any type, and what it refuses by name."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from brevitas.quant import (
    Int8ActPerTensorFloat,
    Int8WeightPerTensorFloat,
    SignedBinaryWeightPerTensorConst,
    Uint8ActPerTensorFloat,
)
from torch import nn

from brevitas_a2q import LayerRule, certify, constrain_, quantize_post_training_
from brevitas_a2q.errors import A2QError, ConfigError, DataError, ModelError
from brevitas_a2q.ptq import restore_post_training_, save_post_training


def _small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))


BAD: dict[str, tuple[nn.Module, Any, dict[str, Any], type[A2QError], str]] = {
    "no data": (_small(), [], {}, DataError, "no data"),
    "no samples": (_small(), torch.zeros(0, 4), {}, DataError, "no data"),
    "one sample": (_small(), torch.rand(1, 4), {}, DataError, "one sample"),
    "constant": (_small(), torch.full((50, 4), 0.5), {}, DataError, "the same number"),
    "not a number": (_small(), torch.full((50, 4), torch.nan), {}, DataError, "batch 0"),
    "text": (_small(), "images", {}, DataError, "str"),
    "other shape": (_small(), torch.rand(50, 3), {}, ModelError, "does not run"),
    "no layers": (nn.Sequential(nn.ReLU()), torch.rand(50, 4), {}, ModelError, "no layer"),
    "single layer": (nn.Linear(4, 4), torch.rand(50, 4), {}, ModelError, "single"),
    "nothing fits": (
        _small(),
        torch.rand(50, 4),
        {"accumulator_bit_width": 2},
        ModelError,
        "layer 2: 2 accumulator bits",
    ),
    "no such rule": (
        _small(),
        torch.rand(50, 4),
        {"rules": (LayerRule("x", skip=True),)},
        ConfigError,
        "matches no layer",
    ),
    "width": (_small(), torch.rand(50, 4), {"accumulator_bit_width": 1}, ConfigError, "accumulator_bit_width"),
    "key": (_small(), torch.rand(50, 4), {"accumulator_bits": 9}, ConfigError, "accumulator_bit_width"),
    "method": (_small(), torch.rand(50, 4), {"method": "magic"}, ConfigError, "method"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named_and_changes_nothing(case: str) -> None:
    model, data, options, kind, message = BAD[case]
    model = copy.deepcopy(model)
    before, kind_of_model = copy.deepcopy(model.state_dict()), type(model)
    with pytest.raises(kind, match=message):
        quantize_post_training_(model, data, {"method": "projection", **options})
    assert type(model) is kind_of_model
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)


def test_activations_that_are_no_numbers_name_their_layer() -> None:
    model = _small()
    with torch.no_grad():
        model[0].bias[0] = torch.inf  # type: ignore[index,operator]
    with pytest.raises(DataError, match="layer 2: found activations that are infinite"):
        quantize_post_training_(model, torch.rand(50, 4), {"method": "projection"})


def test_dead_channels_and_constant_inputs_are_told() -> None:
    model = _small()
    with torch.no_grad():
        model[0].weight.zero_()  # type: ignore[operator]
        model[0].bias.fill_(0.5)  # type: ignore[operator]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        quantize_post_training_(model, torch.rand(50, 4), {"accumulator_bit_width": 10, "method": "exchange"})
    assert any("layer 2: its inputs are constant" in str(warning.message) for warning in told)
    assert certify(model, torch.rand(1, 4)).holds


def _plain(kind: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)).to(kind)


GIVEN: dict[str, tuple[torch.dtype, Any]] = {
    "half precision": (torch.float16, torch.rand(64, 8, dtype=torch.float16)),
    "all in double precision": (torch.float64, torch.rand(64, 8, dtype=torch.float64)),
    "double precision": (torch.float32, torch.rand(64, 8, dtype=torch.float64)),
    "an array": (torch.float32, np.random.default_rng(0).random((64, 8))),
    "pairs of arrays": (torch.float32, [(np.random.default_rng(0).random((64, 8)), np.zeros(64))]),
    "two samples": (torch.float32, torch.rand(2, 8)),
}


@pytest.mark.filterwarnings("ignore:.*constant on the calibration data")
@pytest.mark.parametrize("case", GIVEN)
def test_models_and_data_of_any_type(case: str) -> None:
    kind, data = GIVEN[case]
    model = _plain(kind)
    report = quantize_post_training_(model, data, {"accumulator_bit_width": 10, "method": "projection"})
    assert report.rows[1].required_bit_width <= 10
    assert {parameter.dtype for parameter in model.parameters()} == {kind}
    assert report.dtype_reason is None
    assert certify(model, torch.rand(1, 8, dtype=kind)).holds


@pytest.mark.parametrize("case", ["other integers", "two types"])
def test_a_model_that_does_not_get_its_type_back_says_why(case: str) -> None:
    model = _plain(torch.bfloat16)  # whose 8 bits hold no weights of 8 bits at a scale
    if case == "two types":
        model[0].half()
    report = quantize_post_training_(model, torch.rand(64, 8), {"accumulator_bit_width": 10, "method": "projection"})
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    reasons = {
        "other integers": "in bfloat16 layer 0 would have other integers",
        "two types": "it came with parameters of bfloat16 and float16",
    }
    assert f"the model computes in float32 now: {reasons[case]}" in str(report)


def test_activations_whose_squares_have_no_number() -> None:
    model = _plain()
    with torch.no_grad():
        model[2].weight *= 1e20
    with pytest.raises(DataError, match="layer 4: found activations of up to"):
        quantize_post_training_(model, torch.rand(64, 8), {"accumulator_bit_width": 10, "method": "projection"})


@pytest.mark.parametrize("what", ["a number", "TorchScript"])
def test_what_is_no_module_of_python(what: str) -> None:
    model: Any = 3 if what == "a number" else torch.jit.ScriptModule()
    for call in (lambda: quantize_post_training_(model, torch.rand(64, 8)), lambda: constrain_(model)):
        with pytest.raises(ModelError, match=r"expected a torch\.nn\.Module"):
            call()


def test_a_run_of_a_model_in_half_precision_comes_back_in_it(tmp_path: Path) -> None:
    model, data = _plain(torch.float16), torch.rand(64, 8)
    report = quantize_post_training_(model, data, {"accumulator_bit_width": 10, "method": "projection"})
    saved = save_post_training(model, report, data, tmp_path)
    again = _plain(torch.float16)
    restore_post_training_(again, tmp_path)
    assert saved.certificate.holds
    assert saved.file is not None
    assert torch.equal(again(data.half()), model(data.half()))


def test_binary_weights_stay_and_alone_are_refused() -> None:
    torch.manual_seed(0)

    def network(*kinds: Any) -> nn.Module:
        layers: list[nn.Module] = [qnn.QuantIdentity(Int8ActPerTensorFloat, return_quant_tensor=True)]
        for kind in kinds:
            layers += [
                qnn.QuantLinear(8, 8, bias=True, weight_quant=kind),
                qnn.QuantReLU(act_quant=Uint8ActPerTensorFloat, return_quant_tensor=True),
            ]
        model = nn.Sequential(*layers[:-1])
        model(torch.randn(60, 8))
        return model.eval()

    binary = SignedBinaryWeightPerTensorConst
    mixed = network(Int8WeightPerTensorFloat, binary, Int8WeightPerTensorFloat)
    with torch.no_grad():
        before = mixed[3].quant_weight().value.clone()
        report = quantize_post_training_(mixed, torch.randn(60, 8), {"method": "projection"})
        assert [row.name for row in report.rows] == ["1", "5"]
        assert torch.equal(mixed[3].quant_weight().value, before)
    with pytest.raises(ModelError, match="found no layer with integer weights of several sizes"):
        quantize_post_training_(network(binary, binary), torch.randn(60, 8), {"method": "projection"})
