import base64
import io
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from PIL import Image
from pydantic import BaseModel

from app.api.errors import STATUS
from app.api.schemas import ClassifyManyOut, ClassifyOut, ErrorOut, ModelOut, StatusOut
from tests.api.conftest import Service, service

DOCUMENT = dict[str, Any]


@pytest.fixture
async def served() -> AsyncIterator[Service]:
    async with service() as opened:
        yield opened


@pytest.fixture
async def document(served: Service) -> DOCUMENT:
    answer = await served.client.get("/openapi.json")
    parsed: DOCUMENT = answer.json()
    return parsed


def references(node: Any) -> Iterator[str]:
    """Every `$ref` in a document."""
    if isinstance(node, dict):
        yield from ([node["$ref"]] if "$ref" in node else [])
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    for child in children:
        yield from references(child)


async def test_the_document_holds_together(document: DOCUMENT) -> None:
    assert document["openapi"].startswith("3.")
    for reference in references(document):
        found = document
        for key in reference.removeprefix("#/").split("/"):
            found = found[key]
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert all(operation["responses"] and operation["description"] for operation in operations)
    ours = {"/v1/classify", "/v1/embeddings", "/v1/explain", "/v1/model"}
    assert set(document["paths"]) == {*ours, "/livez", "/readyz", "/metrics"}


async def test_every_status_of_an_error_is_documented(document: DOCUMENT) -> None:
    told = {int(status) for status in document["paths"]["/v1/classify"]["post"]["responses"]}
    assert told == {200, *STATUS.values()} - {404, 499, 501}


async def test_the_picture_in_the_examples_is_one(document: DOCUMENT) -> None:
    content = document["paths"]["/v1/classify"]["post"]["requestBody"]["content"]["application/json"]
    value = content["examples"]["one"]["value"]["image"]
    with Image.open(io.BytesIO(base64.b64decode(value, validate=True))) as image:
        image.load()
        assert (image.format, image.size) == ("PNG", (1, 1))


async def test_the_examples_of_answers_have_the_shape_that_is_promised(document: DOCUMENT) -> None:
    schemas = document["components"]["schemas"]
    for shape in (ClassifyOut, ClassifyManyOut, ErrorOut):
        shape.model_validate(schemas[shape.__name__]["example"], strict=True)


async def test_real_answers_have_the_shape_that_is_promised(served: Service, document: DOCUMENT) -> None:
    examples = document["paths"]["/v1/classify"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    for name, shape in (("one", ClassifyOut), ("several", ClassifyManyOut)):
        answer = await served.client.post("/v1/classify", json=examples[name]["value"])
        given = answer.json()
        kept = shape.model_validate(given).model_dump(exclude_unset=True)
        assert answer.status_code == 200 and kept == given, "the answer has more than the schema tells"
    described: dict[str, type[BaseModel]] = {"/v1/model": ModelOut, "/livez": StatusOut, "/readyz": StatusOut}
    for path, model in described.items():
        given = (await served.client.get(path)).json()
        kept = model.model_validate(given).model_dump(mode="json", exclude_unset=True)
        assert kept == given, path
