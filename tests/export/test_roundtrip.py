"""The comparison counts ties, and accepts nothing else."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from qonnx.core.modelwrapper import ModelWrapper

from brevitas_a2q import certify, export_qonnx
from brevitas_a2q.errors import ExportError
from brevitas_a2q.export._recording import record
from brevitas_a2q.export._roundtrip import TOLERANCE, Execution, expectations, round_trip
from brevitas_a2q.export._stimuli import stimuli


@pytest.fixture
def exported(small_net, image, tmp_path):
    model = small_net()
    export_qonnx(model, image, tmp_path / "net.onnx")
    return model, onnx.load(tmp_path / "net.onnx")


def parameter(file, node, index):
    name = next(n for n in file.graph.node if n.name == node).input[index]
    return next(tensor for tensor in file.graph.initializer if tensor.name == name)


def add_to(tensor, what):
    tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) + np.float32(what), tensor.name))


def bias_that_moves_one_code(model, image, steps):
    """A shift of the depthwise layer that puts one element ``steps`` of its quantizer's steps past a boundary."""
    seen = []
    hook = model.relu.act_quant.register_forward_hook(lambda m, i, o: seen.append((i[0], o)))
    with torch.no_grad():
        model(image)
    hook.remove()
    values, output = seen[0]
    scale = float(output.scale)
    ratio = values.value.double() / scale if hasattr(values, "value") else values.double() / scale
    inside = ratio[(ratio > 0.5) & (ratio < 14.5)]
    to_boundary = (inside - 0.5).ceil() + 0.5 - inside
    return float((to_boundary.min() + steps) * scale)


@pytest.mark.parametrize(("steps", "accepted"), [(TOLERANCE * 16 / 2, True), (1e-2, False)])
def test_only_a_rounding_boundary_excuses_a_difference(exported, image, steps, accepted):
    """The bias moves every sum, but one code only; it is excused if that was within the tolerance of a boundary."""
    model, file = exported
    recording = record(model, (image,))
    shift = bias_that_moves_one_code(model, image, steps)
    # Move PyTorch to just before the boundary, and the file to just behind it.
    scale = float(recording.calls["relu.act_quant"][0].scale)
    model.depthwise.bias.data += shift - 2 * steps * scale
    add_to(parameter(file, "depthwise", 2), shift)
    execution = Execution(ModelWrapper(file), record(model, (image,)), "example", [1.0])
    if accepted:
        execution.run((image,))
        assert execution.rounding_ties == 1
    else:
        with pytest.raises(ExportError, match=r"^quantizer relu\.act_quant: 1 of 64 integers differ .* example inputs"):
            execution.run((image,))


def test_input_quantizer_is_allowed_no_tie(exported, image):
    model, file = exported
    scale = parameter(file, "quant.act_quant", 1)
    scale.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(scale) * np.float32(1 + 2**-22), scale.name))
    expected = expectations(model, (image,), certify(model, image))
    with pytest.raises(ExportError, match=r"^quantizer quant\.act_quant: "):
        round_trip(file, expected)


def test_outputs_behind_the_last_quantizer_are_compared(exported, image):
    model, file = exported
    add_to(parameter(file, "head", 2), 0.01)
    with pytest.raises(ExportError, match=r"^output global_out: differs by 0\.0"):
        Execution(ModelWrapper(file), record(model, (image,)), "example", [1.0]).run((image,))


def test_quantizer_that_is_missing_is_named(exported, image):
    model, file = exported
    node = next(n for n in file.graph.node if n.name == "body.2.act_quant")
    del node.metadata_props[:]
    with pytest.raises(ExportError, match=r"^quantizer body\.2\.act_quant: is not in the file"):
        Execution(ModelWrapper(file), record(model, (image,)), "example", [1.0]).run((image,))


def test_stimuli_cover_the_input_quantizers_range(small_net, image):
    calls = record(small_net(), (image,)).calls
    call = calls["quant.act_quant"][0]
    inputs = {name: args[0] for name, args in stimuli((image,), calls)}
    scale = float(call.scale)
    assert inputs["example"] is image
    assert inputs["lowest"].unique().tolist() == pytest.approx([-128 * scale])
    assert inputs["highest"].unique().tolist() == pytest.approx([127 * scale])
    steps = inputs["boundaries"].double() / call.scale.item()
    assert torch.allclose(steps - steps.floor(), torch.tensor(0.5).double(), atol=1e-4)
    assert inputs["beyond"].abs().min() > 1e5 * scale


def test_stimuli_are_the_same_each_time(small_net, image):
    calls = record(small_net(), (image,)).calls
    for (_, one), (_, two) in zip(stimuli((image,), calls), stimuli((image,), calls), strict=True):
        assert torch.equal(one[0], two[0])
