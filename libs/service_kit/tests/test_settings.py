"""What services are told: where artifacts are, who they are to the broker and to each other."""

from pathlib import Path
from typing import Any

import pytest
from modelmill_service_kit.bus_access import BusTls, NkeySeed
from modelmill_service_kit.process import misspelt_settings
from modelmill_service_kit.settings import ServiceSettings
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict


def settings(**changes: Any) -> ServiceSettings:
    given = {"nats_url": "nats://none", "nats_token": "none", "service_secret": "none"}
    return ServiceSettings(**given | {"artifact_root": "/data/artifacts"} | changes)


@pytest.mark.parametrize(
    "root", ["/data/artifacts", Path("/data/artifacts"), "file:///data/artifacts"]
)
def test_a_folder_is_its_own_disk(root: str | Path):
    assert settings(artifact_root=root).artifact_disk == Path("/data/artifacts")


def test_a_bucket_needs_a_folder_on_this_machine():
    bucket = "s3://bucket/prefix"
    assert settings(artifact_root=bucket, artifact_cache="/cache").artifact_disk == Path("/cache")
    assert settings(artifact_root=bucket, artifact_cache="/cache").artifact_root == bucket
    with pytest.raises(ValidationError, match="needs a folder for local copies") as caught:
        settings(artifact_root=bucket)
    assert caught.value.errors()[0]["loc"] == ("artifact_cache",)


def test_an_identity_of_its_own_goes_before_the_token():
    assert settings().nats_credential == "none"
    both = settings(nats_nkey_seed_file="/seeds/trainer.nk")
    assert both.nats_credential == NkeySeed(Path("/seeds/trainer.nk"))


def test_a_service_must_be_somebody_to_the_broker():
    with pytest.raises(ValidationError, match="an nkey seed or a token") as caught:
        settings(nats_token=None)
    assert caught.value.errors()[0]["loc"] == ("nats_token",)


def test_the_broker_is_spoken_to_in_tls_once_its_authority_is_named():
    assert settings(nats_certificate_file="/tls/trainer.pem").nats_tls is None
    assert settings(nats_ca_file="/tls/ca.pem").nats_tls == BusTls(Path("/tls/ca.pem"))


MTLS = {f"mtls_{kind}_path": f"/tls/{kind}.pem" for kind in ("authority", "certificate", "key")}


@pytest.mark.parametrize("left_out", MTLS)
@pytest.mark.parametrize("nothing", [None, ""])
def test_certificates_are_given_whole_or_not_at_all(left_out: str, nothing: str | None):
    with pytest.raises(ValidationError, match="give all of MTLS_AUTHORITY_PATH, MTLS_CERT"):
        settings(artifact_root="/data", **MTLS | {left_out: nothing})
    assert settings(artifact_root="/data", **dict.fromkeys(MTLS, nothing)).mutual_tls() is None


class OwnSettings(ServiceSettings):
    """Of a service."""

    model_config = SettingsConfigDict(env_prefix="OWN_")
    max_body_bytes: int = 1


def test_a_misspelt_setting_is_named_with_the_one_that_is_meant_and_others_variables_are_not():
    set_by_others = {
        "OWN_MAX_BODY_BYTES": "1",
        "OWN_SERVICE_SECRET_FILE": "/secret",
        "OWN_SERVICE_PORT": "80",
        "OWN_PORT_80_TCP_ADDR": "10.0.0.1",
        "OWN_NOTES": "mine",
        "OTHER_MAX_BODY_BYTE": "1",
    }
    assert misspelt_settings(OwnSettings, set_by_others) == {}
    misspelt = {"OWN_MAX_BODY_BYTE": "1", "OWN_SERVICE_SECRT": "x"}
    assert misspelt_settings(OwnSettings, set_by_others | misspelt) == {
        "OWN_MAX_BODY_BYTE": "OWN_MAX_BODY_BYTES",
        "OWN_SERVICE_SECRT": "OWN_SERVICE_SECRET",
    }
