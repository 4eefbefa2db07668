"""Data sets by name, their options, and the part held out for choices."""

from __future__ import annotations

import pytest
import torch

from brevitas_a2q.data import ImageData, load_data
from brevitas_a2q.data._registry import DATA_SETS
from brevitas_a2q.data._tasks import TASKS
from brevitas_a2q.errors import ConfigError, DataError


def test_unknown_names_and_options_are_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'cifar10'"):
        load_data("cifar-10")
    with pytest.raises(ConfigError, match="did you mean 'validation'"):
        load_data("digits", validatoin=100)


@pytest.mark.parametrize("name", sorted(DATA_SETS))
def test_every_set_can_hold_out_a_part(name: str) -> None:
    assert DATA_SETS[name].options().validation == 0


def test_validation_images_are_training_images_that_are_no_longer_trained_on() -> None:
    whole, data = load_data("digits"), load_data("digits", validation=300)
    assert isinstance(whole, ImageData)
    assert isinstance(data, ImageData)

    def known(images: torch.Tensor) -> list[bytes]:
        return sorted(image.numpy().tobytes() for image in images)

    assert (len(data.x_train), len(data.x_test)) == (1047, 300)
    assert sorted(known(data.x_train) + known(data.x_test)) == known(whole.x_train)
    assert torch.equal(data.x_test, whole.with_validation(300).x_test)
    assert not torch.equal(data.x_test, whole.with_validation(300, seed=1).x_test)


@pytest.mark.parametrize("count", [-1, 1347])
def test_a_validation_part_leaves_something_to_train_on(count: int) -> None:
    with pytest.raises(DataError, match=f"validation part of {count}.*1 to 1346"):
        load_data("digits", validation=count)


def test_data_move_whole() -> None:
    data = load_data("digits").to("meta")
    assert isinstance(data, ImageData)
    assert {x.device.type for x in (data.x_train, data.y_train, data.x_test, data.y_test)} == {"meta"}
    assert data.task in TASKS
