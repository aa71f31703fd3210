"""Owns the tests of cli/models.py."""

import json
from pathlib import Path

import pytest

from app.cli.main import main
from app.cli.models import list_models
from app.errors import PackageError
from app.package.variants import VARIANTS
from tests.training.pictures import write_files


def test_the_list_names_everything_as_the_model_option_takes_it(package: Path):
    rows = list_models(package)
    assert [row.name for row in rows] == ["embedded", *(f"random:{name}" for name in VARIANTS), "noop"]
    assert (rows[0].classes, rows[0].input_height_px, rows[0].input_width_px) == (3, 32, 32)
    assert "vit_pico_patch4_32; knows cat, dog, owl" in rows[0].about
    assert rows[0].parameters < rows[-3].parameters  # by the package's own shape, not by its variant's


def test_an_installation_without_the_embedded_package_lists_the_rest(tmp_path: Path):
    assert list_models(tmp_path)[0].name == "random:vit_tiny_patch16_224"


def test_a_broken_embedded_package_is_named(tmp_path: Path):
    write_files(tmp_path, {"config.json": b"{"})
    with pytest.raises(PackageError, match=r"config\.json"):
        list_models(tmp_path)


def test_table_and_json_tell_the_same(capsys: pytest.CaptureFixture[str]):
    assert main(["models", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert main(["models"]) == 0
    table = capsys.readouterr().out
    for row in rows:
        assert row["name"] in table
        assert f"{row['parameters']:,}" in table
    assert "vit-serve serve --model NAME" in table
