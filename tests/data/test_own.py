"""Data of the user's own: every form that a function may return, and what is refused by name."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from brevitas_a2q.data import ImageData, load_data
from brevitas_a2q.errors import A2QError, ConfigError, DataError

X, Y = np.arange(5 * 3 * 4 * 4, dtype=np.uint8).reshape(5, 3, 4, 4), np.array([0, 1, 2, 1, 0])


class Pictures(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Items as PIL images with labels, or as tensors."""

    def __init__(self, pil: bool) -> None:
        self.pil = pil

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        if not 0 <= index < len(X):
            raise IndexError(index)
        return (Image.fromarray(X[index].transpose(1, 2, 0)) if self.pil else torch.from_numpy(X[index])), int(Y[index])


@pytest.fixture
def mine() -> Iterator[types.ModuleType]:
    """A module that can be imported."""
    module = types.ModuleType("my_own_data")
    sys.modules["my_own_data"] = module
    yield module
    del sys.modules["my_own_data"]


def from_function(mine: types.ModuleType, function: Callable[..., Any], root: Any = None, **options: Any) -> ImageData:
    mine.load = function  # type: ignore[attr-defined]
    data = load_data("my_own_data:load", root, **options)
    assert isinstance(data, ImageData)
    return data


@pytest.mark.parametrize(
    "returned",
    [
        (X, Y, X[:2], Y[:2]),
        {"x_train": torch.from_numpy(X), "y_train": Y.tolist(), "x_test": X[:2], "y_test": Y[:2]},
        (Pictures(True), torch.utils.data.Subset(Pictures(True), [0, 1])),
        (Pictures(False), torch.utils.data.Subset(Pictures(False), [0, 1])),
        ImageData(
            "x", torch.from_numpy(X), torch.from_numpy(Y), torch.from_numpy(X[:2]), torch.from_numpy(Y[:2]), classes=3
        ),
    ],
    ids=["arrays", "mapping", "pictures", "tensors", "image data"],
)
def test_every_form_is_the_same_data(returned: Any, mine: types.ModuleType) -> None:
    data = from_function(mine, lambda: returned)
    assert torch.equal(data.x_train, torch.from_numpy(X))
    assert data.y_train.tolist() == Y.tolist()
    assert torch.equal(data.x_test, torch.from_numpy(X[:2]))
    assert (data.classes, data.input_shape, data.len_train) == (3, (3, 4, 4), 5)
    images, _ = next(data.test_batches(2))
    assert torch.equal(images, torch.from_numpy(X[:2]).float() / 255)


def test_arguments_root_and_validation(mine: types.ModuleType) -> None:
    def load(root: str, scale: float) -> tuple[Any, ...]:
        assert root == "somewhere"
        return X.astype(np.float64) * scale, Y, X.astype(np.float32), Y

    data = from_function(mine, load, "somewhere", scale=0.5, validation=2)
    assert data.x_train.dtype == torch.float32
    assert len(data.x_test) == 2
    assert data.len_train == 3


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: 7, "found a int; expected ImageData"),
        (lambda: (X, Y[:3], X, Y), r"found y_train of shape \(3,\); expected 5 labels"),
        (lambda: (X, Y, X[:, :, :2], Y), "images of two shapes"),
        (lambda: (X, Y - 1, X, Y), "y_train of torch.int64 from -1"),
        (lambda: (X.astype(np.int32), Y, X, Y), "x_train of torch.int32; expected floats, or uint8"),
        (lambda: (X * np.nan, Y, X, Y), "x_train with values that are not finite"),
        (lambda: (X[0], Y, X, Y), r"x_train of shape \(3, 4, 4\)"),
        (lambda: ([], []), "without items"),
        (lambda: ([1], [1]), "found a int as item 0"),
        (lambda: (["ab"], ["ab"]), "found a str as item 0"),
        (lambda: ([(X[0], 0), (X[0, :, :2], 0)], []), r"images of shape"),
        (lambda: 1 / 0, r"loading it failed \(ZeroDivisionError"),
        (lambda more: X, "calling it failed"),
    ],
)
def test_what_is_refused(function: Callable[..., Any], message: str, mine: types.ModuleType) -> None:
    with pytest.raises(A2QError, match=rf"data set my_own_data:load: .*{message}"):
        from_function(mine, function)


def test_a_folder_of_images(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("test", 1)):
        for index, name in enumerate(("cat", "dog")):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                colour = np.full((8, 12, 3), 100 * index + number, np.uint8)
                colour[:, :2] = colour[:, -2:] = 255  # outside of the middle square
                Image.fromarray(colour).save(folder / f"{number}.png")
    data = load_data("image-folder", tmp_path, size=4, flip=True)
    assert isinstance(data, ImageData)
    assert data.y_train.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.x_train[:, 0, 0, 0].tolist() == [0, 1, 2, 100, 101, 102]
    assert (data.input_shape, data.classes, data.flip) == ((3, 4, 4), 2, True)


def test_folders_of_images_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no --data-root"):
        load_data("image-folder")
    with pytest.raises(DataError, match="train: is no folder"):
        load_data("image-folder", tmp_path)
    (tmp_path / "train" / "cat").mkdir(parents=True)
    (tmp_path / "test" / "dog").mkdir(parents=True)
    with pytest.raises(DataError, match="other classes in test"):
        load_data("image-folder", tmp_path)
    with pytest.raises(ConfigError, match="size = 0"):
        load_data("image-folder", tmp_path, size=0)
