"""Owns the tests of insight/gallery.py."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from app.errors import SetupError
from app.imaging.decode import DecodeLimits
from app.imaging.resample import preprocess
from app.insight import figures, gallery
from app.insight.attention import patch_distances, study
from app.insight.gallery import draw
from tests.insight.networks import DISTILLED, HYBRID, SMALL, STEM, random_package
from tests.training.pictures import png, write_files

NAMES = ["position-similarity.png", "patch-filters.png", "attention-distance.png", "attention-rollout.png"]


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    """Two pictures of other sizes than the network's, one of which has an odd name."""
    generator = np.random.default_rng(0)
    files = {name: png(generator.integers(0, 256, (50, 70, 3), np.uint8)) for name in ("a.png", "$\udcff_x.png")}
    return [write_files(tmp_path / "photographs", files) / name for name in files]


def test_a_plain_network_gets_all_pictures(tmp_path: Path, photographs: list[Path]):
    done: list[int] = []
    pictures = draw(random_package(), photographs, tmp_path, lambda: done.append(1))
    assert [picture.path for picture in pictures] == [tmp_path / name for name in NAMES]
    assert all(picture.path and picture.path.stat().st_size > 5000 for picture in pictures)
    assert "mean over 2 photographs" in pictures[2].about
    assert len(done) == 2


def test_a_network_of_grey_images_is_looked_into_too(tmp_path: Path, photographs: list[Path]):
    package = random_package(replace(SMALL, in_chans=1))
    pictures = draw(package, photographs, tmp_path)
    assert [picture.path is None for picture in pictures] == [False, True, False, False]
    assert "1 colours" in pictures[1].about


def test_without_photographs_two_are_left_out(tmp_path: Path):
    pictures = draw(random_package(), [], tmp_path)
    assert [picture.path is None for picture in pictures] == [False, False, True, True]
    assert pictures[3].about == "it needs photographs, given with --image"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES[:2])


def test_the_attention_drawn_is_that_of_the_input_served(
    tmp_path: Path, photographs: list[Path], monkeypatch: pytest.MonkeyPatch
):
    package, drawn = random_package(), []
    monkeypatch.setattr(figures, "attention_rollout", lambda photos, *_: drawn.extend(photos))
    draw(package, photographs, tmp_path)
    pixels = np.empty((24, 40, 3), np.uint8)
    preprocess(photographs[0].read_bytes(), package.preprocess, DecodeLimits(), pixels)
    mean, std = (torch.tensor(values) for values in (package.preprocess.mean, package.preprocess.std))
    image = ((torch.from_numpy(pixels) / 255 - mean) / std).permute(2, 0, 1)
    expected = study(package.network, image[None], 8).maps[0]
    np.testing.assert_array_equal(drawn[0].seen, pixels)
    np.testing.assert_allclose(drawn[0].attention, expected, rtol=1e-5)
    fine = drawn[0].under_attention
    assert fine.shape == (336, 560, 3)
    assert fine.mean() == pytest.approx(pixels.mean() * expected.mean().item(), rel=0.1)  # the same view, dimmed
    assert [photo.name for photo in drawn] == ["a.png", "$?_x.png"]


def test_many_photographs_are_averaged_but_a_few_shown(
    tmp_path: Path, photographs: list[Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gallery, "_MOST_ROLLOUTS", 1)
    pictures = draw(random_package(), photographs, tmp_path)
    assert "mean over 2" in pictures[2].about
    assert "for 1 of 2 photographs" in pictures[3].about


@pytest.mark.parametrize(
    ("config", "drawn", "told"),
    [
        (replace(SMALL, img_size=(8, 8)), [False, True, False, False], "the grid has one patch"),
        (
            replace(SMALL, img_size=(3, 5), patch_size=1),
            [True, False, True, True],
            "24 filters of 1 × 1 px and 3 colours",
        ),
        (replace(SMALL, embed_dim=1, num_heads=1), [True, False, True, True], "1 filters of 8 × 8 px"),
        (STEM, [True, True, True, True], ""),
        (HYBRID, [True, True, True, True], ""),
        (replace(DISTILLED, position="none"), [False, True, True, True], "position is none: no embedding is added"),
        (replace(SMALL, position="relative"), [False, True, True, True], "position is relative"),
    ],
)
def test_what_does_not_apply_is_said_in_a_sentence(tmp_path: Path, photographs: list[Path], config, drawn, told):
    pictures = draw(random_package(config), photographs, tmp_path)
    assert [picture.path is not None for picture in pictures] == drawn
    assert all(told in picture.about for picture in pictures if not picture.path)


@pytest.mark.parametrize(
    ("content", "told"), [(b"GIF8", "not an image"), (b"", "is empty"), (None, "No such file or directory")]
)
def test_a_photograph_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, told: str):
    path = tmp_path / "photo.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SetupError, match=rf"photo\.jpg: .*{told}"):
        draw(random_package(), [path], tmp_path)


def test_long_names_are_cut_in_the_middle():
    assert gallery._short("x" * 20 + "y" * 20, 32) == "x" * 16 + "…" + "y" * 16
    assert gallery._short("short.jpg", 32) == "short.jpg"


def test_a_hybrids_patches_are_as_far_apart_as_in_the_image(
    tmp_path: Path, photographs: list[Path], monkeypatch: pytest.MonkeyPatch
):
    drawn: list[figures.Distances] = []
    monkeypatch.setattr(figures, "attention_distance", lambda distances, *_: drawn.append(distances))
    draw(random_package(HYBRID), photographs, tmp_path)
    assert drawn[0].uniform == pytest.approx(patch_distances((4, 6), 16).mean().item())


def test_of_several_tables_the_first_is_drawn_and_it_is_said(tmp_path: Path):
    pictures = draw(random_package(replace(SMALL, position="2d_every_layer")), [], tmp_path)
    assert pictures[0].about == "cosine between the embeddings of 3 × 5 patches, of the first of 3 layers"
