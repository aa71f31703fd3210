import pytest
from pydantic import ValidationError

from app.settings import Settings, misspelt_variables


def test_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIT_PORT", "9001")
    monkeypatch.setenv("VIT_CORS_ORIGINS", '["https://a.example"]')
    settings = Settings()
    assert settings.port == 9001
    assert settings.cors_origins == ("https://a.example",)
    assert Settings(port=1).port == 1  # what is passed beats the environment


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", 70000),
        ("device", "tpu"),
        ("device", "cuda:x"),
        ("precision", "int4"),
        ("max_wait_ms", 0),
        ("request_timeout_ms", -1),
        ("slots", 0),
        ("max_body_bytes", 10),
        ("log_level", "loud"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        Settings(**{name: value})  # type: ignore[arg-type]


def test_every_option_says_what_it_is() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description and field.description[-1] in ".)", name


def test_a_misspelt_variable_is_found_and_a_strange_one_left(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VIT_MODELL", "VIT_MAX_BATCHSIZE", "VIT_SERVE_PORT_8000_TCP_ADDR", "VIT_PORT", "vit_host"):
        monkeypatch.setenv(name, "1")
    assert misspelt_variables() == {"VIT_MODELL": "VIT_MODEL", "VIT_MAX_BATCHSIZE": "VIT_MAX_BATCH_SIZE"}


@pytest.mark.parametrize("origin", ["http://a.example/", "localhost:8472", "https://a.example/shop", "a.example", ""])
def test_an_origin_that_can_match_none_is_refused(origin: str) -> None:
    with pytest.raises(ValidationError, match="can match no origin"):
        Settings(cors_origins=(origin,))


@pytest.mark.parametrize("origin", ["*", "null", "http://localhost:8472", "https://[::1]:1", "capacitor://localhost"])
def test_an_origin_is_a_scheme_and_a_host(origin: str) -> None:
    assert Settings(cors_origins=(origin,)).cors_origins == (origin,)
