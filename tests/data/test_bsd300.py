"""BSD300: pairs cut from photographs, the protocol of the published numbers, and files that are missing or broken."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from brevitas_a2q.data import ImagePairs, load_data
from brevitas_a2q.data._bsd300 import PROTOCOLS
from brevitas_a2q.data._pairs import bicubic_psnr_db, shrink
from brevitas_a2q.data._ragged import RaggedImages
from brevitas_a2q.data._sources import read_images
from brevitas_a2q.errors import ConfigError, DataError

SHARED = Path(__file__).parents[2] / "../shared/data"


def photograph(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """A smooth colour image without black."""
    coarse = np.random.default_rng(seed).integers(60, 200, (4, 5, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for part, sizes in {"train": ((30, 41), (41, 30), (33, 33)), "test": ((29, 37), (37, 29), (29, 37))}.items():
        (tmp_path / part).mkdir()
        for number, size in enumerate(sizes):
            Image.fromarray(photograph(*size, seed=number)).save(tmp_path / part / f"{number}.png")
    return tmp_path


def pairs(root: Path, **options: Any) -> ImagePairs:
    data = load_data("bsd300", root, **{"crop": 24, **options})
    assert isinstance(data, ImagePairs)
    return data


@pytest.mark.parametrize("factor", [2, 3])
def test_training_pairs_belong_together(factor: int, root: Path) -> None:
    data = pairs(root, factor=factor, windows_per_image=3)
    assert (data.task, data.input_shape, data.len_train) == ("super-resolution", (3, 24 // factor, 24 // factor), 9)
    batches = list(data.train_batches(4, torch.Generator().manual_seed(0)))
    assert [len(x) for x, _ in batches] == [4, 4, 1]
    for x, y in batches:
        assert x.shape[1:] == data.input_shape
        assert y.shape[1:] == (3, 24, 24)
        assert torch.equal(x, shrink(y, factor, "bilinear"))
        assert y.amin((1, 2, 3)).min() > 0  # inside of the photographs: nothing black


def test_training_windows_are_found_in_their_images(root: Path) -> None:
    data = pairs(root)
    image = torch.from_numpy(photograph(33, 33, seed=2)).permute(2, 0, 1)
    places = image.unfold(1, 24, 1).unfold(2, 24, 1).permute(1, 2, 0, 3, 4).reshape(-1, 3, 24, 24)
    positions = [torch.rot90(w, turns, (2, 3)) for w in (places, places.flip(-1)) for turns in range(4)]
    known = {w.numpy().tobytes() for position in positions for w in position.contiguous()}
    generator = torch.Generator().manual_seed(0)
    seen = [(y * 255).round().byte() for _ in range(10) for _, y in data.train_batches(3, generator)]
    hits = [w.numpy().tobytes() for batch in seen for w in batch if w.numpy().tobytes() in known]
    assert len(hits) == 10  # once in every pass
    assert len(set(hits)) > 5


def test_windows_of_the_canvas_are_black_as_often_as_the_canvas(root: Path) -> None:
    data = pairs(root, windows_per_image=4, canvas=True)
    targets = torch.cat([y for _, y in data.train_batches(6, torch.Generator().manual_seed(0))])
    assert targets.shape == (12, 3, 24, 24)
    # Images of about 35 pixels in a square of 512: nearly all is black, and no photograph is.
    assert (targets.amax((1, 2, 3)) == 0).sum() >= 10
    near = dataclasses.replace(data, protocol=dataclasses.replace(data.protocol, window=40), windows_per_image=200)
    black = torch.cat([y for _, y in near.train_batches(50, torch.Generator().manual_seed(0))]).amax(1) == 0
    assert 0.05 < black.float().mean() < 0.5


@pytest.mark.parametrize("options", [{"protocol": "whole"}, {"crop": 600}])
def test_a_canvas_needs_a_window_that_holds_the_crop(options: dict[str, Any], root: Path) -> None:
    with pytest.raises(ConfigError, match="canvas"):
        pairs(root, canvas=True, **options)


def test_whole_test_images_are_cut_to_what_the_networks_take(root: Path) -> None:
    data = pairs(root, protocol="whole", factor=3)
    shapes = [(tuple(x.shape), tuple(y.shape)) for x, y in data.test_batches(8)]
    assert shapes == [((2, 3, 8, 12), (2, 3, 24, 36)), ((1, 3, 12, 8), (1, 3, 36, 24))]


def test_the_published_window_is_black_outside_of_the_image(root: Path) -> None:
    ((x, y),) = pairs(root).test_batches(8)
    assert (x.shape, y.shape) == ((3, 3, 256, 256), (3, 3, 512, 512))
    expected = np.zeros((512, 512, 3), np.uint8)
    top, left = (512 - 29) // 2, (512 - 37) // 2
    expected[top : top + 29, left : left + 37] = photograph(29, 37, seed=0)
    assert np.array_equal((y[0].permute(1, 2, 0) * 255).round().byte().numpy(), expected)


@pytest.mark.parametrize("resample", ["bilinear", "bicubic"])
def test_shrinking_is_pillows(resample: str) -> None:
    image = photograph(24, 36, seed=5)
    expected = np.asarray(Image.fromarray(image).resize((12, 8), Image.Resampling[resample.upper()]))
    small = shrink(torch.from_numpy(image).permute(2, 0, 1)[None] / 255, 3, resample)[0] * 255
    assert np.abs(small.permute(1, 2, 0).round().numpy() - expected).max() <= 1  # Pillow rounds twice


def test_examples_are_centres_of_the_first_images(root: Path) -> None:
    data = pairs(root)
    centre = torch.from_numpy(photograph(30, 41, seed=0)[3:27, 8:32]).permute(2, 0, 1)[None] / 255
    assert torch.equal(data.examples(2)[:1], shrink(centre, 2, "bilinear"))
    assert len(data.examples(100)) == 3


def test_validation_images_leave_the_training_part(root: Path) -> None:
    data = pairs(root, validation=1, protocol="whole")
    assert (len(data.train), len(data.test)) == (2, 1)
    assert torch.equal(data.train.pixels, data.test.pixels)  # the same store, other images
    assert not set(data.train.starts.tolist()) & set(data.test.starts.tolist())


def test_pairs_move_whole(root: Path) -> None:
    data = pairs(root).to("meta")
    assert {part.pixels.device.type for part in (data.train, data.test)} == {"meta"}


def test_the_unpacked_archive_is_found(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    above = tmp_path_factory.mktemp("data")
    (above / "BSDS300").mkdir()
    root.rename(above / "BSDS300" / "images")
    for place in (above, above / "BSDS300"):
        assert len(pairs(place).train) == 3


@pytest.mark.skipif(not (SHARED / "bsd300").exists(), reason="the shared BSD300 is not here")
def test_bicubic_upscaling_gives_the_published_number() -> None:
    images = RaggedImages.pack(read_images(SHARED / "bsd300" / "test"))
    data = ImagePairs("bsd300", images, images, factor=2, crop=128, protocol=PROTOCOLS["published"])
    assert bicubic_psnr_db(data) == pytest.approx(28.71, abs=0.04)  # Brevitas' example, bicubic_interp x2


@pytest.mark.skipif(not (SHARED / "subset").exists(), reason="the shared subset of BSD300 is not here")
def test_the_shared_subset_is_read() -> None:
    data = load_data("bsd300", SHARED / "subset", protocol="whole")
    assert isinstance(data, ImagePairs)
    assert (len(data.train), len(data.test)) == (8, 4)
    assert 26 < bicubic_psnr_db(data) < 29


@pytest.mark.parametrize("folder", [None, "nowhere"])
def test_a_missing_set_gets_instructions(folder: str | None, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--data-root.*folders train and test.*BSDS300-images\.tgz"):
        load_data("bsd300", None if folder is None else tmp_path / folder)


def test_an_empty_folder_is_named(root: Path) -> None:
    for path in (root / "test").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"test: found no images; expected files ending in \.jpg, \.jpeg, \.png"):
        pairs(root)


def test_a_broken_image_is_named(root: Path) -> None:
    path = root / "train" / "1.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"1\.png: cannot be decoded"):
        pairs(root)


def test_images_of_too_many_pixels_are_not_decoded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brevitas_a2q.data._sources.MAX_BYTES", 2 * 30 * 41 * 3)
    with pytest.raises(DataError, match=r"2\.png: found an image of 33x33 pixels"):
        pairs(root)


def test_images_that_are_too_small_are_refused(root: Path) -> None:
    with pytest.raises(DataError, match=r"training part: found an image of 41x30.*sides of at least 32.*smaller crop"):
        pairs(root, crop=32)
    Image.fromarray(photograph(7, 40, seed=0)).save(root / "test" / "9.png")
    with pytest.raises(DataError, match=r"test part: found an image of 40x7.*sides of at least 8"):
        pairs(root)


def test_windows_as_large_as_the_protocols_may_reach_outside(root: Path) -> None:
    ((_, y),) = pairs(root, crop=512).train_batches(3, torch.Generator().manual_seed(0))
    assert y.shape == (3, 3, 512, 512)


@pytest.mark.parametrize(("option", "value"), [("factor", 4), ("crop", 7), ("windows_per_image", 0)])
def test_options_out_of_range_are_refused(option: str, value: int, root: Path) -> None:
    with pytest.raises(ConfigError, match=option):
        pairs(root, **{option: value})


def test_colour_arrays_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "bsd300.npz"
    np.savez(path, x_train=np.zeros((2, 40, 40, 1), np.uint8), x_test=np.zeros((2, 40, 40, 3), np.uint8))
    with pytest.raises(DataError, match=r"x_train.*\(2, 40, 40, 1\).*\(count, height, width, 3\)"):
        load_data("bsd300", path)


def test_windows_of_many_images_at_once() -> None:
    images = [photograph(6, 9, seed=1), photograph(8, 5, seed=2)]
    packed = RaggedImages.pack(images)
    found = packed.windows(torch.tensor([1, 0, 1]), torch.tensor([4, 0, -2]), torch.tensor([1, 5, 0]), (4, 4))
    assert np.array_equal(found[0].permute(1, 2, 0).numpy(), images[1][4:8, 1:5])
    assert np.array_equal(found[1].permute(1, 2, 0).numpy(), images[0][0:4, 5:9])
    assert np.array_equal(found[2, :, 2:].permute(1, 2, 0).numpy(), images[1][:2, :4])
    assert not found[2, :, :2].any()
