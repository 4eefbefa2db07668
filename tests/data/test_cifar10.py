"""CIFAR-10 from torchvision's folder and from .npz files, and what is said when it is not there or broken."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from brevitas_a2q.data import ImageData, load_data
from brevitas_a2q.data._cifar10 import undo_differences
from brevitas_a2q.errors import ConfigError, DataError

SUBSET = Path(__file__).parents[2] / "../shared/data/subset/cifar10_2000_500.npz"


def arrays(train: int = 20, test: int = 10) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (train, 32, 32, 3), dtype=np.uint8),
        "y_train": np.arange(train) % 10,
        "x_test": rng.integers(0, 256, (test, 32, 32, 3), dtype=np.uint8),
        "y_test": np.arange(test) % 10,
    }


def saved(path: Path, values: dict[str, NDArray[Any]]) -> Path:
    np.savez(path, **values)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("by_folder", [True, False])
@pytest.mark.parametrize("name", ["cifar10", "cifar10-subset"])
def test_an_npz_file_is_read(name: str, by_folder: bool, tmp_path: Path) -> None:
    values = arrays()
    path = saved(tmp_path / "cifar10_small.npz", values)
    data = load_data(name, tmp_path if by_folder else path)
    assert isinstance(data, ImageData)
    assert data.name == name
    assert data.x_train.dtype == torch.uint8
    assert np.array_equal(data.x_train.permute(0, 2, 3, 1).numpy(), values["x_train"])
    assert data.y_test.tolist() == values["y_test"].tolist()
    assert (data.task, data.input_shape, data.len_train, data.classes) == ("classification", (3, 32, 32), 20, 10)


def test_torchvisions_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import CIFAR10

    values = arrays()
    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()

    def write(name: str, content: Any) -> list[str]:
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    def batch(part: str) -> dict[str, Any]:
        planes = values[f"x_{part}"].transpose(0, 3, 1, 2).reshape(-1, 3072)
        return {"data": planes, "labels": values[f"y_{part}"].tolist()}

    monkeypatch.setattr(CIFAR10, "train_list", [write("data_batch_1", batch("train"))])
    monkeypatch.setattr(CIFAR10, "test_list", [write("test_batch", batch("test"))])
    meta = write("batches.meta", {"label_names": list("abcdefghij")})
    monkeypatch.setattr(CIFAR10, "meta", {"filename": meta[0], "key": "label_names", "md5": meta[1]})
    data = load_data("cifar10", tmp_path)
    assert isinstance(data, ImageData)
    assert np.array_equal(data.x_test.permute(0, 2, 3, 1).numpy(), values["x_test"])

    (folder / "test_batch").write_bytes(b"not what the checksum says")
    with pytest.raises(DataError, match=r"cifar-10-batches-py.*checksums; unpack cifar-10-python.tar.gz again"):
        load_data("cifar10", tmp_path)


def test_batches_are_fractions_and_training_images_move(tmp_path: Path) -> None:
    data = load_data("cifar10-subset", saved(tmp_path / "a.npz", arrays()))
    assert isinstance(data, ImageData)
    batches = list(data.train_batches(8, torch.Generator().manual_seed(0)))
    assert [len(x) for x, _ in batches] == [8, 8, 4]
    assert sorted(torch.cat([y for _, y in batches]).tolist()) == sorted(data.y_train.tolist())
    assert all(x.dtype == torch.float32 and x.min() >= 0 and x.max() <= 1 for x, _ in batches)
    assert not any((x[0] == image / 255).all() for x, _ in batches for image in data.x_train)
    tested = torch.cat([x for x, _ in data.test_batches(3)])
    assert torch.equal(tested, data.x_test / 255)
    assert torch.equal(data.examples(4), data.x_train[:4] / 255)


def test_without_augmentation_images_stay(tmp_path: Path) -> None:
    data = load_data("cifar10-subset", saved(tmp_path / "a.npz", arrays()), padding=0, flip=False)
    seen = torch.cat([x for x, _ in data.train_batches(7, torch.Generator().manual_seed(0))])
    assert {x.numpy().tobytes() for x in seen} == {x.numpy().tobytes() for x in data.examples(20)}


def test_smaller_images_are_means(tmp_path: Path) -> None:
    values = arrays()
    data = load_data("cifar10-subset", saved(tmp_path / "a.npz", values), size=16)
    assert isinstance(data, ImageData)
    assert data.input_shape == (3, 16, 16)
    mean = values["x_train"][0, 4:6, 6:8, 1].mean()
    assert abs(int(data.x_train[0, 1, 2, 3]) - mean) <= 0.5


def test_planes_of_differences_are_summed_up(tmp_path: Path) -> None:
    values = arrays()
    for part in ("train", "test"):
        x = values[f"x_{part}"].astype(np.int64)
        x[..., 0] -= x[..., 1]
        x[..., 2] -= x[..., 1]
        planes = np.diff(np.diff(x, axis=2, prepend=0), axis=1, prepend=0).astype(np.uint8).transpose(0, 3, 1, 2)
        assert np.array_equal(undo_differences(planes), values[f"x_{part}"])
        values[f"i_{part}"] = np.arange(len(x))
        values[f"stored_{part}"] = planes
    stored = {**values, "x_train": values["stored_train"], "x_test": values["stored_test"]}
    data = load_data("cifar10-subset", saved(tmp_path / "a.npz", stored))
    assert isinstance(data, ImageData)
    assert np.array_equal(data.x_train.permute(0, 2, 3, 1).numpy(), values["x_train"])


@pytest.mark.skipif(not SUBSET.exists(), reason="the shared subset of CIFAR-10 is not here")
def test_the_shared_subset_has_two_hundred_images_of_each_class() -> None:
    data = load_data("cifar10-subset", SUBSET)
    assert isinstance(data, ImageData)
    assert data.y_train.bincount().tolist() == [200] * 10
    smooth = (data.x_train[:, :, :, 1:].int() - data.x_train[:, :, :, :-1].int()).abs().float().mean()
    assert smooth < 20  # photographs, where neighbours are alike: noise would have 85


@pytest.mark.parametrize("root", [None, "empty"])
def test_a_missing_set_gets_instructions(root: str | None, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--data-root.*cifar-10-batches-py.*cs\.toronto\.edu"):
        load_data("cifar10", None if root is None else tmp_path / root)


def test_a_missing_part_is_told_that_it_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(DataError, match=r"expected a file cifar10\*.npz .*take data set cifar10"):
        load_data("cifar10-subset", tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": np.zeros((20, 3, 32, 32), np.uint8)}, r"x_train.*\(20, 3, 32, 32\).*\(count, 32, 32, 3\)"),
        ({"x_train": np.zeros((20, 32, 32, 3), np.float32)}, "x_train of type float32"),
        ({"y_test": np.full(10, 10)}, "labels from 10 to 10 in y_test.*10 labels from 0 to 9"),
        ({"y_train": np.zeros(19, int)}, "19 labels.*expected 20"),
        ({"x_test": np.zeros((0, 32, 32, 3), np.uint8)}, "x_test.*none of them empty"),
        ({"x_train": np.array([{}], object)}, "cannot be read"),
    ],
)
def test_wrong_arrays_are_named(change: dict[str, NDArray[Any]], message: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npz", {**arrays(), **change})
    with pytest.raises(DataError, match=message) as caught:
        load_data("cifar10", path)
    assert str(path) in str(caught.value)


def test_broken_files_are_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npz", arrays())
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"a\.npz: cannot be read"):
        load_data("cifar10", path)


def test_files_that_unpack_to_too_much_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brevitas_a2q.data._sources.MAX_BYTES", 1000)
    with pytest.raises(DataError, match="at most 1000"):
        load_data("cifar10", saved(tmp_path / "a.npz", arrays()))


def test_one_of_several_files_has_to_be_named(tmp_path: Path) -> None:
    for name in ("cifar10_a.npz", "cifar10_b.npz"):
        saved(tmp_path / name, arrays())
    with pytest.raises(DataError, match=r"found cifar10_a\.npz, cifar10_b\.npz.*name the file itself"):
        load_data("cifar10", tmp_path)


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="size"):
        load_data("cifar10", None, size=20)
    with pytest.raises(ConfigError, match="padding"):
        load_data("cifar10", None, padding=-1)
