"""The handwritten digits: shapes, ranges, and a split that does not leak."""

from __future__ import annotations

import torch

from brevitas_a2q.data._arrays import batches
from brevitas_a2q.data._digits import load_digits


def test_digits_are_all_there_and_split_by_class() -> None:
    data = load_digits()
    assert data.x_train.shape == (1347, 1, 8, 8)
    assert data.x_test.shape == (450, 1, 8, 8)
    for x in (data.x_train, data.x_test):
        assert x.min() == 0
        assert x.max() == 1
    assert data.y_test.bincount().min() >= 43


def test_the_split_depends_on_its_seed_only() -> None:
    assert torch.equal(load_digits(1).x_test, load_digits(1).x_test)
    assert not torch.equal(load_digits(1).y_test, load_digits(2).y_test)


def test_no_test_image_is_trained_on() -> None:
    data = load_digits()
    trained = {image.numpy().tobytes() for image in data.x_train}
    assert not any(image.numpy().tobytes() in trained for image in data.x_test)


def test_batches_visit_every_image_once_in_an_order_the_generator_sets() -> None:
    x, y = torch.arange(10.0), torch.arange(10)
    in_order = torch.cat([labels for _, labels in batches(x, y, 3, None)])
    shuffled = torch.cat([labels for _, labels in batches(x, y, 3, torch.Generator().manual_seed(0))])
    assert in_order.tolist() == list(range(10))
    assert sorted(shuffled.tolist()) == list(range(10))
    assert shuffled.tolist() != in_order.tolist()
