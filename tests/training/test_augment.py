"""Owns the tests of training/augment.py."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from app.training.augment import augment, changed
from app.training.recipe import Recipe

STILL = replace(Recipe(), flip=0.0, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), colour=0.0)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(64, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_nothing_asked_nothing_changed(images: torch.Tensor):
    assert torch.allclose(augment(images, STILL), images, atol=1e-5)


def test_a_flip_mirrors_left_and_right(images: torch.Tensor):
    flipped = augment(images, replace(STILL, flip=1.0))
    assert torch.allclose(flipped, images.flip(3), atol=1e-5)


def test_each_image_is_flipped_by_its_own_coin(images: torch.Tensor):
    torch.manual_seed(0)
    out = augment(images, replace(STILL, flip=0.5))
    kept = sum(torch.allclose(a, b, atol=1e-5) for a, b in zip(out, images, strict=True))
    mirrored = sum(torch.allclose(a, b.flip(2), atol=1e-5) for a, b in zip(out, images, strict=True))
    assert kept + mirrored == 64
    assert 16 < kept < 48


def test_only_flip_leaves_crop_and_colour_out(images: torch.Tensor):
    strong = replace(Recipe(), flip=0.0, crop_scale=(0.2, 0.3), colour=0.9)
    assert torch.allclose(augment(images, strong, only_flip=True), images, atol=1e-5)
    assert not torch.allclose(augment(images, strong), images, atol=0.1)


def test_plain_images_are_shifted_by_whole_pixels_and_the_others_are_not(images: torch.Tensor):
    torch.manual_seed(0)
    out = augment(images, replace(STILL, plain=0.75, shift=2, crop_scale=(0.3, 0.6)))
    padded = F.pad(images, (2, 2, 2, 2), mode="reflect")
    shifts = [padded[:, :, y : y + 16, x : x + 16] for y in range(5) for x in range(5)]
    places = [[i for i, s in enumerate(shifts) if torch.equal(s[n], out[n])] for n in range(64)]
    assert all(len(found) == 1 for found in places[:48])
    assert len({found[0] for found in places[:48]}) > 15  # each its own
    assert not any(places[48:])


def test_plain_images_are_flipped_too(images: torch.Tensor):
    assert torch.equal(augment(images, replace(Recipe(), plain=1.0, flip=1.0)), images.flip(3))


def test_a_shift_beyond_the_picture_stays_in_it(images: torch.Tensor):
    out = augment(images, replace(STILL, plain=1.0, shift=100))
    assert set(out[0].flatten().tolist()) <= set(images[0].flatten().tolist())


def test_all_changed_images_are_changed_whatever_is_plain_in_training():
    pictures = torch.randint(0, 256, (20, 3, 16, 16), dtype=torch.uint8)
    assert torch.equal(changed(pictures, Recipe(plain=1.0)), changed(pictures, Recipe()))


def test_a_crop_shows_a_part_of_the_picture_enlarged():
    ramp = torch.linspace(0, 1, 64).expand(32, 3, 64, 64)  # brightness = place across
    torch.manual_seed(0)
    out = augment(ramp, replace(STILL, crop_scale=(0.25, 0.25)))
    width = out[:, 0, 32, -1] - out[:, 0, 32, 0]
    assert torch.allclose(width, torch.full((32,), 0.5), atol=0.02)  # a quarter of the area is half the width
    assert out[:, 0, 32, 0].std() > 0.05  # each at its own place
    assert out.min() >= 0 and out.max() <= 1


def test_colours_stay_in_range_and_change_image_by_image(images: torch.Tensor):
    out = augment(images, replace(STILL, colour=1.0))
    assert out.min() >= 0 and out.max() <= 1
    assert (out - images).mean(dim=(1, 2, 3)).std() > 0.05


def test_the_global_seed_decides_all(images: torch.Tensor):
    outs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outs.append(augment(images, Recipe()))
    assert torch.equal(outs[0], outs[1])
    assert not torch.equal(outs[0], outs[2])


def test_changed_images_are_those_of_the_seed_whatever_was_drawn_before():
    pictures = torch.randint(0, 256, (300, 3, 16, 16), dtype=torch.uint8)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = changed(pictures, Recipe(seed=3))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(first, changed(pictures, Recipe(seed=3)))
    assert not torch.equal(first, changed(pictures, Recipe(seed=4)))
    assert first.dtype is torch.uint8 and first.shape == pictures.shape
    assert torch.equal(changed(pictures, STILL), pictures)
