"""What `huggingface_hub`'s own client gets, which is among our dependencies already."""

import math
from pathlib import Path

import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from tests.benchmark.server import Server
from tests.end_to_end.conftest import cat as cat
from tests.end_to_end.conftest import embedded as embedded

pytestmark = pytest.mark.operations


@pytest.fixture
def photo(tmp_path: Path, cat: bytes) -> Path:
    (tmp_path / "cat.jpg").write_bytes(cat)
    return tmp_path / "cat.jpg"


@pytest.mark.parametrize("path", ["", "/", "/models/google/vit-base-patch16-224"])
def test_bytes_and_files_by_the_address_alone(embedded: Server, photo: Path, path: str) -> None:
    client = InferenceClient(model=f"http://127.0.0.1:{embedded.port}{path}")
    for image in (photo, str(photo), photo.read_bytes()):
        best, *others = client.image_classification(image)
        assert best.label == "cat" and best.score > 0.9
        assert len(others) == 4


def test_parameters_are_kept(embedded: Server, photo: Path) -> None:
    client = InferenceClient(model=f"http://127.0.0.1:{embedded.port}")

    def scores(function: str) -> dict[str, float]:
        answer = client.image_classification(photo, function_to_apply=function, top_k=3)  # type: ignore[arg-type]
        assert len(answer) == 3
        return {each.label: each.score for each in answer}

    logits, sigmoids = scores("none"), scores("sigmoid")
    assert sigmoids == {label: pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-3) for label, logit in logits.items()}
    assert max(scores("softmax").values()) == pytest.approx(
        client.image_classification(photo, top_k=1)[0].score, abs=1e-3
    )


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # its own, of httpx
async def test_the_asynchronous_client(embedded: Server, photo: Path) -> None:
    async with AsyncInferenceClient(model=f"http://127.0.0.1:{embedded.port}") as client:
        [best] = await client.image_classification(photo, top_k=1)
        assert best.label == "cat"


def test_errors_reach_the_user(embedded: Server) -> None:
    client = InferenceClient(model=f"http://127.0.0.1:{embedded.port}")
    with pytest.raises(HfHubHTTPError) as caught:
        client.image_classification(b"nonsense", top_k=2)
    assert caught.value.response.status_code == 415 and "error" in caught.value.response.json()
