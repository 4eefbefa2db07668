"""What the converter takes for moving elements keeps their integers, by the table of ranges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from brevitas_a2q._ranges import Codes, Value
from brevitas_a2q._trace import value_of_call
from brevitas_a2q.convert import _values

MODULES: dict[type[nn.Module], Callable[[], nn.Module]] = {
    **{kind: kind for kind in (nn.Identity, nn.Dropout, nn.Dropout2d, nn.Dropout3d, nn.Flatten)},
    **{kind: lambda kind=kind: kind(2) for kind in (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)},
    **{kind: lambda kind=kind: kind(2) for kind in (nn.PixelShuffle, nn.PixelUnshuffle)},
    nn.UpsamplingNearest2d: lambda: nn.UpsamplingNearest2d(scale_factor=2),
}
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "flatten": (1,),
    "reshape": (1, -1),
    "view": (1, -1),
    "transpose": (1, 2),
    "permute": (0, 2, 3, 1),
    "dropout": (0.5, False),
    "max_pool2d": (2,),
    "pixel_shuffle": (2,),
    "pixel_unshuffle": (2,),
    "unsqueeze": (1,),
}


def _called(move: Any, x: Tensor) -> Any:
    if isinstance(move, type):
        return MODULES[move]().eval()(x)
    if isinstance(move, str):
        return getattr(x, move)(*ARGUMENTS.get(move, ()))
    arguments = ARGUMENTS[move.__name__]
    return move(x, arguments) if move in (torch.reshape, torch.permute) else move(x, *arguments)


MOVES = (*_values._MOVING_MODULES, *_values._MOVING_FUNCTIONS, *_values._MOVING_METHODS)


@pytest.mark.parametrize("move", MOVES, ids=lambda move: getattr(move, "__name__", move))
def test_it_keeps_integers_by_the_table(move: Any) -> None:
    shape = {nn.MaxPool1d: (1, 4, 8), nn.MaxPool3d: (1, 4, 4, 4, 4), nn.Dropout3d: (1, 4, 4, 4, 4)}.get(
        move, (1, 4, 4, 4)
    )
    x = torch.zeros(shape)
    codes = Codes.plain(np.asarray(0.25), np.asarray(-3), np.asarray(9))
    found = value_of_call(lambda: _called(move, x), {x: Value.of_codes(shape, codes)})
    assert found is not None
    assert found.codes is not None
    assert (found.codes.uniform_scale, found.codes.range.lo, found.codes.range.hi) == (0.25, -3, 9)
