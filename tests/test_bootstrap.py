import asyncio
import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from app.bootstrap import fitted, open_classifier
from app.checkpoints.own import ModelPackage, save_package
from app.domain import PreprocessSpec
from app.errors import DeviceError, PackageError, UnknownVariant
from app.network.vit import VisionTransformer
from app.package.variants import variant
from app.settings import Settings


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 30, 90)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("model", "name", "notice"),
    [
        ("noop", "noop", "no forward pass"),
        ("random:vit_pico_patch4_32", "random:vit_pico_patch4_32", "random weights"),
    ],
)
def test_untrained_models_say_so_in_every_answer(model: str, name: str, notice: str) -> None:
    async def run() -> None:
        async with open_classifier(Settings(model=model, max_batch_size=2)) as classifier:
            await classifier.ready()
            answer = await classifier.classify(picture(), top_k=3)
            assert answer.model == classifier.info.name == name
            assert answer.notice and notice in answer.notice
            assert classifier.info.sha256 is None
            assert sum(p.score for p in (await classifier.classify(picture(), top_k=10)).predictions) <= 1.001

    asyncio.run(run())


def test_random_weights_are_the_same_every_time() -> None:
    async def scores() -> list[float]:
        settings = Settings(model="random:vit_pico_patch4_32", max_batch_size=1, precision="float32")
        async with open_classifier(settings) as classifier:
            await classifier.ready()
            return [p.score for p in (await classifier.classify(picture(), top_k=10)).predictions]

    assert asyncio.run(scores()) == pytest.approx(asyncio.run(scores()), abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        (Settings(model="random:vit_gigantic"), UnknownVariant),
        (Settings(model="/nowhere/at/all"), PackageError),
        (Settings(model="noop", device="cuda:31"), DeviceError),
    ],
)
def test_what_cannot_start_says_why(settings: Settings, error: type[Exception]) -> None:
    async def run() -> None:
        async with open_classifier(settings):
            raise AssertionError("it opened")

    with pytest.raises(error):
        asyncio.run(run())


def test_an_empty_directory_is_no_package(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_classifier(Settings(model=str(tmp_path))):
            raise AssertionError("it opened")

    with pytest.raises(PackageError, match="no weights"):
        asyncio.run(run())


def test_without_top_k_five_classes_or_all_there_are(tmp_path: Path) -> None:
    network = VisionTransformer(replace(variant("vit_pico_patch4_32"), num_classes=2))
    network.init_weights()
    spec = PreprocessSpec(32, 32)
    save_package(
        tmp_path,
        ModelPackage(
            name="two",
            architecture="vit_pico_patch4_32",
            network=network,
            labels=("a", "b"),
            preprocess=spec,
            sha256=None,
        ),
    )

    async def count(model: str) -> int:
        async with open_classifier(Settings(model=model, max_batch_size=1)) as classifier:
            await classifier.ready()
            return len((await classifier.classify(picture())).predictions)

    assert asyncio.run(count(str(tmp_path))) == 2
    assert asyncio.run(count("random:vit_pico_patch4_32")) == 5


GIBIBYTE = 2**30


@pytest.mark.parametrize(
    ("memory", "bodies", "decoding"),
    [
        (None, 256, 512),
        (4 * GIBIBYTE, 256, 512),
        (2 * GIBIBYTE, 256, 512),
        (GIBIBYTE, 85, 170),
        (GIBIBYTE // 2, 21, 42),
    ],
)
def test_what_nobody_named_fits_into_the_memory(memory: int | None, bodies: int, decoding: int) -> None:
    settings = fitted(Settings(), memory)
    assert (settings.max_bodies_bytes // 2**20, settings.max_decode_bytes // 2**20) == (bodies, decoding)
    assert fitted(settings, memory) == settings
    if memory and memory <= GIBIBYTE:  # and all of it together
        assert (
            memory >= min(512 * 2**20, memory * 3 / 4) + 2 * settings.max_bodies_bytes + 1.5 * settings.max_decode_bytes
        )


def test_what_somebody_named_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIT_MAX_BODIES_BYTES", str(300 * 2**20))
    assert fitted(Settings(max_decode_bytes=400 * 2**20), GIBIBYTE) == Settings(max_decode_bytes=400 * 2**20)
