"""What of a model's origin and labels reaches the client."""

from dataclasses import replace
from pathlib import Path

from app.api.schemas import ClassifyOut, ModelOut
from app.checkpoints.own import save_package
from app.checkpoints.sources import load_model
from app.domain import PreprocessSpec
from tests.api.conftest import MODEL, picture, service

IDS = tuple(f"n0000000{i}" for i in range(10))


async def test_ids_and_the_commit_are_told_where_there_are_some(tmp_path: Path) -> None:
    spec = PreprocessSpec(32, 32, "bilinear", resize_px=(40, 37), library="huggingface")
    made = replace(
        load_model(MODEL), name="vit_pico_patch4_32.t", label_ids=IDS, source="hf-hub:us/pico@abc", notice=None
    )
    save_package(tmp_path, replace(made, preprocess=spec))
    async with service(model=str(tmp_path)) as s:
        answer = (await s.client.post("/v1/classify", content=picture())).json()
        ClassifyOut.model_validate(answer, strict=True)
        assert [p["id"] for p in answer["predictions"]] == [IDS[p["index"]] for p in answer["predictions"]]
        model = (await s.client.get("/v1/model")).json()
        ModelOut.model_validate(model)
        assert (model["label_ids"], model["source"]) == (list(IDS), "hf-hub:us/pico@abc")
        assert (model["preprocess"]["resize_px"], model["preprocess"]["library"]) == ([40, 37], "huggingface")


async def test_other_labels_have_no_id() -> None:
    async with service() as s:
        answer = (await s.client.post("/v1/classify", content=picture())).json()
        assert all(set(p) == {"label", "index", "score"} for p in answer["predictions"])
