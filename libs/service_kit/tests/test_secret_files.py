"""Secrets of settings come from files, so that no process's environment has to have one."""

from pathlib import Path

import pytest
from modelmill_service_kit.errors import PreconditionError
from modelmill_service_kit.settings import ServiceSettings
from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict


class Settings(ServiceSettings):
    """Those of a service with a secret of its own."""

    model_config = SettingsConfigDict(frozen=True, env_prefix="ECHO_")

    own_key: SecretStr | None = None


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("ECHO_NATS_URL", "nats://127.0.0.1:1")
    monkeypatch.setenv("ECHO_ARTIFACT_ROOT", "/artifacts")
    return monkeypatch


def named(environment: pytest.MonkeyPatch, folder: Path, **secrets: str) -> None:
    for name, secret in secrets.items():
        (folder / name).write_text(f"{secret}\n")
        environment.setenv(f"ECHO_{name.upper()}_FILE", str(folder / name))


def test_every_secret_of_a_service_may_be_in_a_file(environment, tmp_path):
    secrets = ("nats_token", "service_secret", "otlp_token", "own_key")
    named(environment, tmp_path, **{name: f"content of {name}" for name in secrets})

    settings = Settings()

    for name in secrets:
        assert getattr(settings, name).get_secret_value() == f"content of {name}"


def test_a_secret_that_is_said_twice_is_refused_by_its_names(environment, tmp_path):
    named(environment, tmp_path, service_secret="one", nats_token="two")
    environment.setenv("ECHO_SERVICE_SECRET", "another")
    with pytest.raises(PreconditionError, match="ECHO_SERVICE_SECRET and ECHO_SERVICE_SECRET_FILE"):
        Settings()


def test_a_file_that_cannot_be_read_is_named_with_the_variable_and_without_what_is_in_it(
    environment, tmp_path
):
    environment.setenv("ECHO_SERVICE_SECRET_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(PreconditionError, match=r"ECHO_SERVICE_SECRET_FILE: cannot read .*nowhere"):
        Settings()


def test_an_empty_variable_names_no_file(environment, tmp_path):
    named(environment, tmp_path, service_secret="one", nats_token="two")
    environment.setenv("ECHO_OWN_KEY_FILE", "")
    assert Settings().own_key is None


def test_a_setting_that_is_no_secret_is_not_taken_from_a_file(environment, tmp_path):
    named(environment, tmp_path, service_secret="one", nats_token="two", log_level="DEBUG")
    assert Settings().log_level == "INFO"
