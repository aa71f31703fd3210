"""Owns the tests of cli/options.py."""

from argparse import ArgumentError, ArgumentParser

import pytest

from app.cli.options import add_settings, read_settings
from app.settings import Settings


def parse(*arguments: str, **overrides: object) -> Settings:
    parser = ArgumentParser()
    add_settings(parser)
    return read_settings(parser.parse_args(arguments), **overrides)


def test_every_option_has_a_flag_that_tells_what_it_is():
    parser = ArgumentParser()
    add_settings(parser)
    actions = {action.dest: action for action in parser._actions if action.dest != "help"}
    assert actions.keys() == Settings.model_fields.keys()
    for name, field in Settings.model_fields.items():
        text = actions[name].help
        assert actions[name].option_strings == ["--" + name.replace("_", "-")]
        assert text is not None and field.description is not None
        assert text.startswith(field.description.replace("%", "%%"))
        assert f"Environment: VIT_{name.upper()}." in text
    assert "Default: 8000." in str(actions["port"].help)
    parser.format_help()  # a stray percent sign would raise


def test_without_flags_the_defaults_stand():
    assert parse() == Settings()


def test_a_flag_goes_before_the_environment_which_goes_before_the_default(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VIT_PORT", "8001")
    monkeypatch.setenv("VIT_SLOTS", "17")
    settings = parse("--port", "8002")
    assert (settings.port, settings.slots, settings.host) == (8002, 17, "127.0.0.1")


def test_overrides_go_before_all(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VIT_MAX_WAIT_MS", "1")
    assert parse(max_wait_ms=99.0).max_wait_ms == 99.0


def test_lists_are_json():
    assert parse("--cors-origins", '["https://a.example", "*"]').cors_origins == ("https://a.example", "*")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "99999"], "--port is '99999', but it should be less than or equal to 65535"),
        (["--port", "http"], "--port is 'http', but it should be a valid integer"),
        (["--precision", "int4"], "--precision is 'int4', but it should be 'auto', 'float32'"),
        (["--device", "gpu"], "--device is 'gpu', but it should match pattern"),
        (["--max-wait-ms", "0"], "--max-wait-ms is '0', but it should be greater than 0"),
        (["--cors-origins", "https://a.example"], "--cors-origins is 'https://a.example', but it should be JSON"),
        (["--cors-origins", "3"], "--cors-origins is '3', but it should be a valid tuple"),
    ],
)
def test_a_bad_flag_is_named_in_one_line(arguments: list[str], message: str):
    with pytest.raises(ArgumentError) as caught:
        parse(*arguments)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("VIT_PORT", "99999", "VIT_PORT is '99999', but it should be less than or equal to 65535"),
        ("VIT_CORS_ORIGINS", "https://a.example", "VIT_CORS_ORIGINS is 'https://a.example', but it should be JSON"),
        ("VIT_LOG_LEVEL", "loud", "VIT_LOG_LEVEL is 'loud', but it should be 'debug'"),
    ],
)
def test_a_bad_environment_variable_is_named_in_one_line(
    variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ArgumentError) as caught:
        parse("--slots", "8")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_good_flag_covers_a_bad_environment_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VIT_PORT", "99999")
    assert parse("--port", "1").port == 1
