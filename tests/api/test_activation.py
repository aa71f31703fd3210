"""Owns the tests of what clients are told of scores that are no softmax."""

from pathlib import Path
from typing import Any

import pytest

from app.api.schemas import ClassifyManyOut, ClassifyOut, ModelOut
from tests.api.conftest import picture, service
from tests.graphs.tiny import network, saved


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "none"])
async def test_every_answer_and_the_model_say_it(activation: Any, tmp_path: Path) -> None:
    made = network()
    made.head.bias.add_(2.0)  # numbers and sums of sigmoids above 1
    saved(tmp_path / "model", made, activation=activation, threshold=None if activation == "none" else 0.5)
    async with service(model=str(tmp_path / "model")) as s:
        one = (await s.client.post("/v1/classify", content=picture())).json()
        ClassifyOut.model_validate(one, strict=True)
        files = [("image", (str(i), picture(), "image/png")) for i in range(2)]
        many = (await s.client.post("/v1/classify", files=files)).json()
        ClassifyManyOut.model_validate(many, strict=True)
        model = (await s.client.get("/v1/model")).json()
        ModelOut.model_validate(model)
        assert {each["activation"] for each in (one, *many["results"], model)} == {activation}
        scores = [p["score"] for p in one["predictions"]]
        assert scores == sorted(scores, reverse=True)
        assert (sum(scores) == pytest.approx(1, abs=1e-5)) == (activation == "softmax")
        assert (max(scores) > 1) == (activation == "none")
        best = {"softmax": scores[0], "sigmoid": scores[0]}.get(activation)
        assert one.get("confidence") == (None if best is None else "high" if best >= 0.5 else "low")


async def test_the_document_promises_no_bounds_that_a_regression_breaks() -> None:
    async with service() as s:
        document = (await s.client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    assert not {"minimum", "maximum"} & schemas["PredictionOut"]["properties"]["score"].keys()
    for name in ("ClassifyOut", "ResultOut", "ModelOut"):
        field = schemas[name]["properties"]["activation"]
        assert field["enum"] == ["softmax", "sigmoid", "none"]
        assert all(f"{each}: " in field["description"] for each in field["enum"])
        assert "activation" in schemas[name]["required"]
