"""What cannot be trained together is told before anything is trained."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from torch import Tensor, nn

from brevitas_a2q.errors import ConfigError
from brevitas_a2q.train import run
from brevitas_a2q.train._config import RunConfig
from brevitas_a2q.train._recipes import Recipe

HEIGHTS: list[int] = []


class AnySize(nn.Module):
    """A float network of classes that takes images of any size, and notes which it was trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Linear(1, 10)

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            HEIGHTS.append(images.shape[-2])
        scores: Tensor = self.scores(images.mean((2, 3)))
        return scores


def any_size() -> nn.Module:
    return AnySize()


def test_images_grow_to_their_own_size(short: RunConfig, tmp_path: Path) -> None:
    HEIGHTS.clear()
    recipe = Recipe(epochs=3, batch_size=197, first_image_size=3)
    run(
        dataclasses.replace(short, model=f"{__name__}:any_size", quant=None, float_recipe=None, recipe=recipe), tmp_path
    )
    assert HEIGHTS == [3, 3, 8]


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (4, "model digits-cnn does not take images 4 pixels high"),
        (9, "found 9; expected at most the images' own 8 pixels"),
    ],
)
def test_a_network_of_one_size_is_told(size: int, said: str, short: RunConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(short, float_recipe=Recipe(epochs=1, first_image_size=size))
    with pytest.raises(ConfigError, match=said):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_quantized_networks_are_trained_on_images_of_their_own_size(short: RunConfig) -> None:
    with pytest.raises(ConfigError, match="give it in float_recipe"):
        dataclasses.replace(short, recipe=Recipe(first_image_size=4))
