"""Owns the tests of training/recipe.py."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from app.errors import DatasetError
from app.training.recipe import Recipe, load_recipe


def test_a_recipe_survives_its_file(tmp_path: Path):
    recipe = replace(Recipe(), epochs=3, crop_scale=(0.5, 1.0), learning_rate=1e-3)
    (tmp_path / "recipe.json").write_text(recipe.to_json())
    assert load_recipe(tmp_path / "recipe.json") == recipe


def test_what_is_left_out_keeps_its_default_and_whole_numbers_pass_as_fractions(tmp_path: Path):
    (tmp_path / "r.json").write_text('{"epochs": 2, "warmup_epochs": 1, "crop_ratio": [1, 1]}')
    assert load_recipe(tmp_path / "r.json") == replace(Recipe(), epochs=2, warmup_epochs=1.0, crop_ratio=(1.0, 1.0))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not a training recipe"),
        ("[]", "not a JSON object"),
        ('{"epoch": 3}', "no option 'epoch'"),
        ('{"epochs": "3"}', "epochs must be a whole number"),
        ('{"epochs": 2.5}', "epochs must be a whole number"),
        ('{"epochs": true}', "epochs must be a whole number"),
        ('{"learning_rate": "fast"}', "learning_rate must be a number"),
        ('{"learning_rate": NaN}', "learning_rate is nan"),
        ('{"variant": 3}', "variant must be a string"),
        ('{"crop_scale": [0.5]}', "crop_scale must be a list of 2"),
        ('{"crop_scale": [1.0, 0.5]}', "0 < low <= high"),
        ('{"crop_ratio": [0.5, Infinity]}', "0 < low <= high"),
        ('{"seed": 9223372036854775808}', "must be below 2"),
        ('{"epochs": 0}', "epochs is 0"),
        ('{"batch_size": -1}', "batch_size is -1"),
        ('{"validation_share": 1.0}', "validation_share is 1.0"),
        ('{"colour": 1.5}', "colour is 1.5"),
        ('{"seed": -1}', "seed is -1"),
        ('{"stem_learning_rate": 0}', "stem_learning_rate is 0"),
        ('{"momentum": 1}', "momentum is 1"),
        ('{"plain": 1.1}', "plain is 1.1"),
        ('{"shift": -1}', "shift is -1"),
        ('{"crop_mode": "centre"}', "crop_mode is 'centre'.*squash"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(tmp_path: Path, text: str, reason: str):
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=reason) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)


def test_a_recipe_that_is_not_there(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"none\.json"):
        load_recipe(tmp_path / "none.json")


def test_the_file_holds_every_option():
    assert json.loads(Recipe().to_json()).keys() == asdict(Recipe()).keys()
