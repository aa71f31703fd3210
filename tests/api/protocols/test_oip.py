import pytest

from app import __version__
from app.classifier import Classifier
from app.engine.client import Status
from tests.api.conftest import MODEL, service
from tests.api.protocols.oip import BLUE, CLASSES, RED, SIDE, URL, classified, images, infer, read
from tests.api.test_off_the_loop import note


async def test_server_and_model_tell_what_they_are() -> None:
    async with service(model_aliases=("vit/of.mine",)) as s:
        for path in ("/v2", "/v2/"):
            server = (await s.client.get(path)).json()
            assert (server["name"], server["version"]) == ("vit-serve", __version__)
            assert {"binary_tensor_data", "classification", "statistics", "model_configuration"} <= set(
                server["extensions"]
            )
        for name in (MODEL, "vit/of.mine"):
            for path in (f"/v2/models/{name}", f"/v2/models/{name}/versions/1"):
                model = (await s.client.get(path)).json()
                assert (model["name"], model["versions"]) == (name, ["1"])
                assert model["inputs"] == [
                    {"name": "image", "datatype": "BYTES", "shape": [-1, 1]},
                    {"name": "pixel_values", "datatype": "FP32", "shape": [-1, 3, SIDE, SIDE]},
                    {"name": "pixels", "datatype": "UINT8", "shape": [-1, SIDE, SIDE, 3]},
                ]
                assert [(each["name"], each["shape"]) for each in model["outputs"]] == [
                    ("probabilities", [-1, CLASSES]),
                    ("logits", [-1, CLASSES]),
                ]
                assert "changes nothing" in model["parameters"]["priority"]
                config = (await s.client.get(path + "/config")).json()
                assert [each["dims"] for each in config["input"]] == [each["shape"][1:] for each in model["inputs"]]
                assert (config["name"], config["max_batch_size"]) == (
                    name,
                    s.app.state.service.settings.max_images_per_request,
                )


async def test_health_says_both_words_on_both_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    async with service() as s:
        for path in ("/v2/health/live", "/v2/health/ready"):
            answer = await s.client.get(path)
            assert (answer.status_code, answer.json()) == (200, {"live": True, "ready": True})
        for path in (f"/v2/models/{MODEL}/ready", f"/v2/models/{MODEL}/versions/1/ready"):
            assert (await s.client.get(path)).json() == {"name": MODEL, "ready": True}
        s.classifier.drain()
        live, ready = [await s.client.get(f"/v2/health/{path}") for path in ("live", "ready")]
        model = await s.client.get(f"/v2/models/{MODEL}/ready")
        assert (live.status_code, ready.status_code, model.status_code) == (200, 503, 503)
        assert live.json() == ready.json() == {"live": True, "ready": False}
        monkeypatch.setattr(Classifier, "status", Status.FAILED)
        live = await s.client.get("/v2/health/live")
        assert (live.status_code, live.json()) == (503, {"live": False, "ready": False})


async def test_another_model_or_version_is_not_found() -> None:
    async with service() as s:
        for path in ("another", "another/ready", f"{MODEL}/versions/2", f"{MODEL}/versions/2/stats", f"{MODEL}/other"):
            answer = await s.client.get(f"/v2/models/{path}")
            assert (answer.status_code, answer.json()["code"]) == (404, "unknown_model"), path
        answer = await s.client.post("/v2/models/another/infer", json={})
        assert answer.status_code == 404 and "another" in answer.json()["error"]
        assert (await s.client.get(URL)).status_code == 404  # a model of that name, as far as GET knows


async def test_statistics_count_what_was_answered_by_whatever_contract() -> None:
    async with service() as s:
        await s.client.post("/v1/classify", content=RED)
        await infer(s, images(RED, BLUE))
        await infer(s, images(b"\xff\xd8\xff broken"))
        (stats,) = (await s.client.get(f"/v2/models/{MODEL}/versions/1/stats")).json()["model_stats"]
        assert (stats["name"], stats["version"], stats["inference_count"]) == (MODEL, "1", 3)
        assert 2 <= stats["execution_count"] <= 3
        phases = stats["inference_stats"]
        assert phases["success"]["count"] == phases["compute_infer"]["count"] == phases["queue"]["count"] == 3
        assert phases["success"]["ns"] >= phases["compute_infer"]["ns"] > 0
        assert (await s.client.get("/v2/models/stats")).json()["model_stats"] == [stats]


async def test_an_answer_has_the_scores_and_logits_of_all_classes() -> None:
    async with service() as s:
        document, outputs = read(await infer(s, images(RED, BLUE, shape=[2, 1]), id="id 1"))
        assert (document["model_name"], document["model_version"], document["id"]) == (MODEL, "1", "id 1")
        for row, image in enumerate((RED, BLUE)):
            assert outputs["probabilities"][row] == pytest.approx(await classified(s, image), abs=1e-6)
        assert outputs["logits"].argsort().tolist() == outputs["probabilities"].argsort().tolist()
        assert "id" not in read(await infer(s, images(RED))).document


async def test_outputs_are_those_asked_for_with_the_best_classes_where_asked_for() -> None:
    async with service() as s:
        best = {"name": "probabilities", "parameters": {"classification": 3}}
        document, outputs = read(await infer(s, images(RED, BLUE), outputs=[{"name": "logits"}, best]))
        assert [each["name"] for each in document["outputs"]] == ["logits", "probabilities"]
        assert document["outputs"][1]["datatype"] == "BYTES"
        assert (outputs["probabilities"].shape, outputs["logits"].shape) == ((2, 3), (2, CLASSES))
        scores = await classified(s, RED)
        expected = sorted(range(CLASSES), key=lambda index: -scores[index])[:3]
        assert [each.split(":", 2)[1:] for each in outputs["probabilities"][0]] == [
            [str(index), f"class_{index}"] for index in expected
        ]
        assert [float(each.split(":")[0]) for each in outputs["probabilities"][0]] == pytest.approx(
            [scores[index] for index in expected], abs=1e-5
        )
        best["parameters"] = {"classification": 1000}
        assert read(await infer(s, images(RED), outputs=[best])).outputs["probabilities"].shape == (1, CLASSES)


async def test_one_bad_image_fails_the_request_with_its_index() -> None:
    async with service() as s:
        for bad, status in ((b"not an image", 415), (RED[:60], 422)):
            answer = await infer(s, images(RED, BLUE, bad))
            assert answer.status_code == status
            assert answer.json()["error"].startswith("image 2: ")
        data = [images(RED)["data"][0], "%%%"]
        answer = await infer(s, images(RED, RED, data=data))
        assert answer.status_code == 400 and "image 1: an image is not valid base64" in answer.json()["error"]


async def test_a_timeout_in_microseconds_is_kept() -> None:
    async with service() as s:
        answer = await infer(s, images(RED), parameters={"timeout": 1, "priority": 2})
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")
        assert s.counted("vit_deadline_exceeded_total", set_by="client") == 1
        for timeout in (0, 10_000_000):
            assert (await infer(s, images(RED), parameters={"timeout": timeout})).status_code == 200


async def test_metrics_have_the_paths_template() -> None:
    async with service(model_aliases=("a/b",)) as s:
        await s.client.post("/v2/models/a/b/infer", json={"inputs": [images(RED)]})
        assert s.counted("vit_requests_total", route="/v2/models/{model:path}/infer", code="200") == 1


async def test_large_bodies_and_answers_are_read_and_written_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    from app.api.protocols import oip

    monkeypatch.setattr(oip, "_MANY_NUMBERS", 2 * CLASSES)
    reading, writing = note(monkeypatch, oip, "read_request"), note(monkeypatch, oip, "write")
    async with service() as s:
        await infer(s, images(RED, RED))
        await infer(s, images(RED, RED, RED), padding=" " * 70_000)
    assert (reading.on_loop, writing.on_loop) == ([True, False], [True, False])
