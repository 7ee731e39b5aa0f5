"""What the Helm chart tells `mill doctor --pod`, from the environment only."""

from pathlib import Path

from modelmill_service_kit.errors import PreconditionError
from modelmill_service_kit.settings import OptionalFile
from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "DOCTOR_"


class PodSettings(BaseSettings):
    """Addresses and mounted files of a release, with the prefix DOCTOR_.

    The pod has the credentials of the gateway, which calls all others and sees every stream.
    """

    model_config = SettingsConfigDict(frozen=True, env_prefix=PREFIX)

    nats_url: str
    """The brokers, separated by commas."""

    nats_nkey_seed_file: Path
    """The seed of the gateway's identity at the broker."""

    nats_ca_file: Path
    """Whose certificate the broker must show."""

    broker_config_path: OptionalFile = None
    """The broker's configuration, where the chart runs it."""

    service_secret_file: Path
    """What metrics pages ask for."""

    mtls_authority_path: Path
    """PEM file with the authority that vouches for services to each other."""

    mtls_certificate_path: Path
    """PEM file with the gateway's certificate."""

    mtls_key_path: Path
    """PEM file with its private key."""

    services: dict[str, str]
    """host:port of gRPC servers, by the name in their certificates; as JSON."""

    pages: dict[str, str]
    """host:port of metrics pages, by component; as JSON."""

    gateway_url: str
    """Of the gateway's HTTP server."""

    secrets_folder: Path = Path("/etc/modelmill")
    """Below it are all mounted secrets."""

    artifacts_path: OptionalFile = None
    """The mounted volume of artifacts; unset where they are in a bucket."""


def pod_settings() -> PodSettings:
    """The settings of this pod.

    Raises:
        PreconditionError: this is no pod of the chart's test; the message names what is missing.
    """
    try:
        return PodSettings()
    except ValidationError as error:
        wrong = sorted({f"{PREFIX}{each['loc'][0]}".upper() for each in error.errors()})
        raise PreconditionError(
            f"settings are missing or wrong: {', '.join(wrong)}. `mill doctor --pod` runs in the"
            " pod of the Helm chart that `helm test RELEASE` starts"
        ) from error
