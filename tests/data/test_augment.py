"""Augmentation by tensor operations: every image on its own, and nothing invented."""

from __future__ import annotations

import torch

from brevitas_a2q.data._augment import as_float, random_dihedral, random_flip, random_integers, random_shift, resized


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_random_integers_reach_both_ends_and_no_further() -> None:
    limits = torch.tensor([0, 1, 4]).repeat(200, 1)
    drawn = random_integers(limits, generator())
    assert drawn.amin(0).tolist() == [0, 0, 0]
    assert drawn.amax(0).tolist() == [0, 1, 4]


def test_a_shift_moves_each_image_by_up_to_the_padding() -> None:
    images = torch.zeros(300, 3, 5, 5, dtype=torch.uint8)
    images[:, :, 2, 2] = 255
    shifted = random_shift(images, 2, generator())
    assert shifted.shape == images.shape
    assert shifted.dtype == torch.uint8
    assert (shifted.flatten(1) == 255).sum(1).eq(3).all()  # the point stays in sight, in all three colours
    assert set(shifted[:, 0].flatten(1).int().argmax(1).tolist()) == set(range(25))


def test_a_shift_brings_in_black() -> None:
    shifted = random_shift(torch.ones(100, 1, 3, 3), 1, generator())
    assert {int(image.sum()) for image in shifted} == {4, 6, 9}


def test_about_half_of_the_images_are_mirrored() -> None:
    images = torch.arange(4.0).view(1, 1, 2, 2).repeat(1000, 1, 1, 1)
    flipped = random_flip(images, generator())
    mirrored = (flipped == images.flip(-1)).flatten(1).all(1)
    assert ((flipped == images).flatten(1).all(1) ^ mirrored).all()
    assert 400 < int(mirrored.sum()) < 600


def test_the_eight_positions_of_a_square() -> None:
    image = torch.arange(9.0).view(1, 1, 3, 3)
    turned = random_dihedral(image.repeat(400, 1, 1, 1), generator())
    found = {tuple(position.flatten().tolist()) for position in turned}
    expected = [torch.rot90(image, turns, (2, 3)) for turns in range(4)]
    expected += [position.flip(-1) for position in expected]
    assert found == {tuple(position.flatten().tolist()) for position in expected}


def test_the_generator_decides() -> None:
    images = torch.rand(20, 3, 6, 6)
    same = [random_dihedral(random_shift(images, 2, g), g) for g in (generator(1), generator(1), generator(2))]
    assert torch.equal(same[0], same[1])
    assert not torch.equal(same[0], same[2])


def test_eight_bit_images_become_fractions() -> None:
    assert as_float(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == torch.tensor([0, 0.2, 1]).tolist()


def test_smaller_images_are_smoothed_and_keep_their_proportions() -> None:
    images = torch.zeros(1, 3, 8, 16)
    images[..., ::2] = 1
    small = resized(images, 4)
    assert small.shape == (1, 3, 4, 8)
    assert ((small[..., 1:-1] - 0.5).abs() < 0.01).all()  # stripes of one pixel are gray
    assert resized(images, 8) is images
