"""Owns the tests of cli/quantize.py, and with it of quantising/run.py and recipes.py."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

from app.bootstrap import open_classifier
from app.checkpoints.sources import load_model
from app.cli.main import main
from app.domain import ModelInfo
from app.errors import DatasetError
from app.graphs.folder import GRAPHS_NAME, read_graphs
from app.quantising.run import LEAST_IMAGES, split
from app.settings import Settings
from tests.graphs import tiny
from tests.training.pictures import write_files, write_zip

COUNT = 70


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without classes."""
    return write_files(tmp_path_factory.mktemp("images") / "blots", tiny.blot_files(COUNT))


@pytest.fixture(scope="module")
def done(bare: Path, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What quantising without classes has written, without the float graph."""
    out = tmp_path_factory.mktemp("done") / "int8"
    assert quantize(bare, images, out, "--without-float", "--calibration", "10", "--agreement", "0.8") == 0
    return out


def quantize(model: Path, images: Path, out: Path, *more: str) -> int:
    return main(["quantize", str(model), "--images", str(images), "--out", str(out), *more])


def refused(out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The error, in one line; nothing was left on disk."""
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.match(r"vit-serve( quantize)?: error: ", last)
    assert not out.exists()
    assert not [path for path in out.parent.iterdir() if path.name.startswith(f".{out.name}")]
    return last


def test_without_float_the_int8_graph_is_alone_and_the_model_is_whole(done: Path, bare: Path, key: str) -> None:
    graphs = read_graphs(done / GRAPHS_NAME, key)
    assert set(graphs.paths) == {"int8"}
    assert not list(done.rglob("float32*"))
    assert load_model(str(done)).sha256 == load_model(str(bare)).sha256


def test_the_graph_is_quantised(done: Path, key: str) -> None:
    text = (done / GRAPHS_NAME / "int8.xml").read_text()
    assert "FakeQuantize" in text or 'element_type="i8"' in text


def test_the_result_serves_in_int8(done: Path, built: Path, tmp_path: Path) -> None:
    picture = next(iter(tiny.blot_files(1, seed=5).values()))

    async def answer(**settings: object) -> tuple[ModelInfo, dict[str, float]]:
        shared = {"cache_dir": str(tmp_path / "cache"), "threads": 1, "max_batch_size": 2}
        async with open_classifier(Settings(**{**shared, **settings})) as classifier:  # type: ignore[arg-type]
            await classifier.ready()
            found = await classifier.classify(picture, top_k=3)
            return classifier.info, {each.label: each.score for each in found.predictions}

    info, scores = asyncio.run(answer(model=str(done), precision="int8", engine="openvino"))
    _, expected = asyncio.run(answer(model=str(built), engine="torch", precision="float32"))
    assert (info.engine, info.precision.partition("+")[0]) == ("openvino", "int8")
    assert scores == pytest.approx(expected, abs=0.2)
    assert scores != pytest.approx(expected, abs=1e-6)


def test_the_card_says_on_what_it_was_judged(done: Path) -> None:
    text = (done / "INT8.md").read_text()
    assert re.search(r"ranges from 10 images of blots; judged on 60 others of it\.", text)
    assert re.search(r"\| same best class \|  \| \d+\.\d\d% \|", text)
    assert "accuracy" not in text


def test_named_folders_make_accuracy_decide(
    bare: Path, key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = (tiny.LABELS[0].upper(), *tiny.LABELS[1:])  # of whatever case
    files = {f"{labels[i % 3]}/{name}": data for i, (name, data) in enumerate(tiny.blot_files(COUNT).items())}
    files["dog/notes.txt"] = b"no picture"
    files["dog/broken.png"] = b"nor is this"
    out = tmp_path / "out"
    data = write_zip(tmp_path / "data.zip", files)
    generous = ("--accuracy-loss", "1", "--calibration", "10", "--skip-broken", "--seed", "3")
    code = quantize(bare, data, out, *generous)
    told = capsys.readouterr()
    assert code == 0, told.err
    assert "1 files cannot be read and are left out, the first: dog/broken.png" in told.err
    assert re.search(r"accuracy \(top-1\): \d+\.\d\d%, \d+\.\d\d%\n", told.out)
    assert f"vit-serve serve --model {out}\n" in told.out
    assert set(read_graphs(out / GRAPHS_NAME, key).paths) == {"float32", "int8"}


def test_a_refusal_has_the_figures_of_every_recipe_and_leaves_nothing(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny.saved(tmp_path / "model", tiny.network(num_classes=500))  # many classes nearly tied
    out = tmp_path / "out"
    assert quantize(model, images, out, "--agreement", "1", "--calibration", "2") == 1
    error = refused(out, capsys)
    assert f"not good enough on {COUNT - 2} images" in error
    for recipe in ("plain", "bias", "sensitive layers in float"):
        assert re.search(rf"\b{recipe}: agreement is \d+\.\d\d%, below 100\.00%", error), error


def test_too_few_images_are_refused(bare: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = write_files(tmp_path / "few", tiny.blot_files(LEAST_IMAGES - 1))
    assert quantize(bare, few, tmp_path / "out") == 1
    assert f"there are {LEAST_IMAGES - 1} images; quantising takes at least {LEAST_IMAGES}" in refused(
        tmp_path / "out", capsys
    )


def test_broken_files_are_refused_unless_they_may_be_skipped(
    bare: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = write_files(tmp_path / "broken", {f"{i}.png": b"no picture" for i in range(COUNT)})
    assert quantize(bare, broken, tmp_path / "out") == 1
    assert "images cannot be read; --skip-broken leaves such files out" in capsys.readouterr().err
    assert quantize(bare, broken, tmp_path / "out", "--skip-broken") == 1
    assert "too few of its images can be read" in refused(tmp_path / "out", capsys)


def test_what_is_there_stays(bare: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("words")
    assert quantize(bare, images, tmp_path / "out") == 1
    assert "is there already; nothing was written" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "words"


def test_without_nncf_it_is_said_how_to_get_it(
    bare: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    assert quantize(bare, images, tmp_path / "out") == 1
    assert "pip install 'vit-serve[quantize]'" in refused(tmp_path / "out", capsys)


@pytest.mark.parametrize(
    "option",
    [
        ("--agreement", "1.01"),
        ("--agreement", "-0.1"),
        ("--agreement", "nan"),
        ("--accuracy-loss", "1.5"),
        ("--calibration", "0"),
        ("--judged", "0"),
        ("--seed", "-1"),
    ],
)
def test_an_option_that_cannot_be_is_named(
    bare: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, str]
) -> None:
    assert quantize(bare, images, tmp_path / "out", *option) == 2
    assert option[0] in refused(tmp_path / "out", capsys)


def test_images_are_drawn_apart_and_the_same_for_a_seed() -> None:
    calibration, judged = split(100, 30, 50, seed=1)
    assert (len(calibration), len(judged)) == (30, 50)
    assert not set(calibration) & set(judged)
    assert split(100, 30, 50, seed=1) == (calibration, judged) != split(100, 30, 50, seed=2)


def test_of_few_images_half_are_left_to_judge_on() -> None:
    calibration, judged = split(LEAST_IMAGES, 300, 3000, seed=0)
    assert len(calibration) == len(judged) == LEAST_IMAGES // 2
    with pytest.raises(DatasetError):
        split(LEAST_IMAGES - 1, 1, 1, seed=0)
