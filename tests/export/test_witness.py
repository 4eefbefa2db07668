"""Witnesses reach the ends of the sums they were made for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brevitas_a2q import Int8A2QWeightPerChannelFloat, certify, export_qonnx
from brevitas_a2q.export._witness import driven_by_witness, tiled_patch


@pytest.mark.parametrize("end", ["upper", "lower"])
def test_layers_reach_their_ends(small_net, image, end):
    model = small_net(Int8A2QWeightPerChannelFloat)
    claim = certify(model, image)
    sums = {}

    def keep(name, layer, inputs, output):
        bias = 0 if layer.bias is None else layer.bias.reshape(-1, *[1] * (output.value.dim() - 2))
        sums[name] = ((output.value - bias) / output.scale).double().round().long()

    for name in ("body.0", "depthwise", "head"):
        layer = model.get_submodule(name)
        layer.return_quant_tensor = True
        layer.register_forward_hook(lambda m, i, o, name=name: keep(name, m, i, o))
    with driven_by_witness(model, claim, end) as given, torch.no_grad():
        model(image)
    assert set(given) == set(sums) == {"body.0", "depthwise", "head"}
    for name, values in sums.items():
        per_channel = values.transpose(0, 1).flatten(1)
        reached = per_channel.amax(1) if end == "upper" else per_channel.amin(1)
        ends = list(getattr(claim.layers[name].sums, end))
        furthest = max if end == "upper" else min
        assert furthest(reached.tolist()) == furthest(ends)
        if name == "depthwise":  # a group for each channel, so that each one reaches its own end
            assert reached.tolist() == ends


def test_model_computes_as_before_afterwards(small_net, image):
    model = small_net()
    with torch.no_grad():
        before = model(image)
        with driven_by_witness(model, certify(model, image), "upper"):
            assert not torch.equal(model(image), before)
        assert torch.equal(model(image), before)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
def test_some_window_sees_the_patch(stride, padding, dilation):
    patch = np.arange(1, 13).reshape(1, 3, 4)
    image = tiled_patch(patch, (14, 15), (stride,) * 2, (padding,) * 2, (dilation,) * 2)
    windows = torch.nn.functional.unfold(
        torch.from_numpy(image)[None].double(), (3, 4), dilation=dilation, padding=padding, stride=stride
    )
    assert (windows[0] == torch.arange(1, 13)[:, None]).all(0).any()


def test_report_counts_driven_layers(small_net, image, tmp_path):
    report = export_qonnx(small_net(), image, tmp_path / "net.onnx")
    assert report.round_trip.layers_driven == 3
    assert report.round_trip.inputs[-2:] == ("upper witness", "lower witness")
