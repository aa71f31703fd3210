import base64

import pytest

from app.settings import Settings
from tests.api.conftest import picture, service

HEALTH = "/v1/endpoints/12/deployedModels/34"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Vertex AI sets in a container of its own."""
    monkeypatch.setenv("AIP_HTTP_PORT", "8090")
    monkeypatch.setenv("AIP_HEALTH_ROUTE", HEALTH)
    monkeypatch.setenv("AIP_PREDICT_ROUTE", HEALTH + ":predict")


async def test_it_listens_where_vertex_asks(told: None) -> None:
    async with service(protocols=["vertex"]) as s:
        assert (await s.client.get(HEALTH)).status_code == 200
        body = {
            "instances": [{"b64": base64.b64encode(picture()).decode()}],
            "parameters": {"top_k": 2},
        }
        answer = await s.client.post(HEALTH + ":predict", json=body)
        [prediction] = answer.json()["predictions"]
        assert [len(prediction[name]) for name in ("scores", "classes")] == [2, 2]
        assert set(answer.json()) == {"predictions"}
        s.classifier.drain()
        assert (await s.client.get(HEALTH)).status_code == 503


def test_what_vertex_says_counts_only_there_and_only_where_nobody_else_said_it(
    told: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings().port == 8000
    monkeypatch.setenv("VIT_PROTOCOLS", '["vertex"]')
    settings = Settings()
    assert (settings.port, settings.vertex_health_route) == (8090, HEALTH)
    monkeypatch.setenv("VIT_PORT", "9000")
    assert Settings().port == 9000
    assert Settings(port=9001).port == 9001
    monkeypatch.setenv("AIP_HEALTH_ROUTE", "/{anything}")
    with pytest.raises(ValueError, match="vertex_health_route"):
        Settings()
