"""Rows of products: times the weights they give what the layer gives."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from torch import Tensor, nn

from brevitas_a2q.ptq._rows import Geometry, sample_places
from brevitas_a2q.quant._layout import WeightLayout

LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "linear": (nn.Linear(6, 4), (5, 6)),
    "tokens": (nn.Linear(6, 4), (3, 7, 6)),
    "conv1d": (nn.Conv1d(4, 6, 5, stride=2, padding=3, dilation=2), (3, 4, 21)),
    "conv2d": (nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0)), (2, 3, 9, 8)),
    "grouped": (nn.Conv2d(6, 4, 3, groups=2, padding=1, dilation=(1, 2)), (2, 6, 7, 9)),
    "depthwise": (nn.Conv2d(6, 6, 3, groups=6, padding=1), (2, 6, 7, 7)),
    "same": (nn.Conv2d(3, 4, (3, 5), padding="same"), (2, 3, 6, 7)),
    "valid": (nn.Conv2d(3, 4, 3, padding="valid"), (2, 3, 6, 7)),
    "reflect": (nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), (2, 3, 6, 7)),
    "circular": (nn.Conv2d(3, 4, 3, padding=(2, 1), padding_mode="circular"), (2, 3, 6, 7)),
    "conv3d": (nn.Conv3d(2, 3, 2, stride=2, padding=1), (2, 2, 5, 4, 6)),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1), (2, 4, 5, 6)),
    "transposed-grouped": (nn.ConvTranspose1d(4, 6, 4, stride=3, groups=2, dilation=2), (2, 4, 9)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_rows_give_the_output(name: str) -> None:
    layer, shape = LAYERS[name]
    torch.manual_seed(0)
    x = torch.randn(shape)
    geometry, weights = Geometry.of(layer), _rows(layer)
    (place,) = sample_places(geometry, [x], [None], 10**6, seed=0)
    rows = geometry.rows(x, place)
    with torch.no_grad():
        found = (rows.transpose(0, 1) @ weights.mT).transpose(0, 1).flatten(1) + layer.bias  # type: ignore[operator]
        output = layer(x)
    if geometry.axes:
        assert tuple(output.shape[2:]) == geometry.output_size(x)
        expected = output.movedim(1, -1).flatten(0, -2)
    else:
        expected = output.flatten(0, -2)
    assert len(rows) == len(expected)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def _rows(layer: Any) -> Tensor:
    if isinstance(layer, nn.modules.conv._ConvTransposeNd):
        layout = WeightLayout(transposed=True, groups=layer.groups)
    else:
        layout = WeightLayout()
    rows = layout.rows(layer.weight.detach())
    return rows.reshape(Geometry.of(layer).groups, -1, rows.shape[1])


def test_layers_of_brevitas_are_read_alike() -> None:
    layer = qnn.QuantConvTranspose2d(4, 6, 3, stride=2)
    assert Geometry.of(layer).transposed
    assert WeightLayout.of(layer).transposed


def test_places_are_sampled_evenly_and_by_the_seed() -> None:
    layer, inputs = nn.Conv2d(3, 4, 3), [torch.randn(4, 3, 10, 10), torch.randn(2, 3, 10, 10)]
    geometry = Geometry.of(layer)
    first, second = (sample_places(geometry, inputs, [None, None], 90, seed=1) for _ in range(2))
    assert [len(place.sample) for place in first] == [60, 30]
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.position, other.position)
    other = sample_places(geometry, inputs, [None, None], 90, seed=2)
    assert not torch.equal(first[0].position, other[0].position)


def test_tokens_that_do_not_count_are_left_out() -> None:
    x, mask = torch.arange(12.0).reshape(2, 3, 2), torch.tensor([[1, 1, 0], [1, 0, 0]])
    geometry = Geometry.of(nn.Linear(2, 1))
    (place,) = sample_places(geometry, [x], [mask], 100, seed=0)
    assert geometry.rows(x, place)[:, 0].tolist() == [[0, 1], [2, 3], [6, 7]]
