"""Settings that all services share, from the environment; each adds its own in `settings.py`."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args
from urllib.parse import unquote, urlsplit

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from modelmill_service_kit.bus_access import BusTls, Credential, NkeySeed
from modelmill_service_kit.errors import PreconditionError
from modelmill_service_kit.machine_size import MachineSize, this_machine

SUFFIX = "_FILE"


class SecretFiles(PydanticBaseSettingsSource):
    """For each secret NAME of the settings, the content of the file that `NAME_FILE` names.

    White space around it is not part of it. An empty variable names no file.

    Raises:
        PreconditionError: a file cannot be read, or NAME is given as well.
    """

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The secret, or None without a file for it."""
        if not _is_secret(field):
            return None, field_name, False
        name = f"{self.config.get('env_prefix', '')}{field_name}".upper()
        file = os.environ.get(f"{name}{SUFFIX}")
        if not file:
            return None, field_name, False
        if os.environ.get(name):
            raise PreconditionError(f"{name} and {name}{SUFFIX} are both set. Give one of them")
        return secret_in(Path(file), f"{name}{SUFFIX}"), field_name, False

    def __call__(self) -> dict[str, Any]:
        fields = self.settings_cls.model_fields
        found = {name: self.get_field_value(field, name)[0] for name, field in fields.items()}
        return {name: value for name, value in found.items() if value is not None}


def secret_in(file: Path, named_by: str) -> str:
    """The content of a secret file, stripped of white space.

    Raises:
        PreconditionError: it cannot be read; the message says which variable named it.
    """
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise PreconditionError(f"{named_by}: cannot read {file}: {why}") from error


def _is_secret(field: FieldInfo) -> bool:
    return field.annotation is SecretStr or SecretStr in get_args(field.annotation)


def local_path(location: str) -> Path | None:
    """The folder that a path or a `file://` URL means; None for a URL of a server."""
    if "://" not in location:
        return Path(location)
    parts = urlsplit(location)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    return None


if TYPE_CHECKING:
    from modelmill_service_kit.mutual_tls import MutualTls

Location = Annotated[str, BeforeValidator(lambda at: str(at) if isinstance(at, Path) else at)]
"""A path, or a URL of where else files are."""

OptionalFile = Annotated[Path | None, BeforeValidator(lambda at: at or None)]
"""A file, or none: an empty variable is how a compose file says that there is none."""


BEYOND_DRAIN_SECONDS = 15.0
"""What a service has, beyond its drain, to close what is left."""


class EndingSettings(BaseSettings):
    """Settings of how a service ends, which its supervisor reads as well."""

    model_config = SettingsConfigDict(frozen=True)

    drain_seconds: float = 10.0
    """How long calls in hand may go on after SIGTERM; below the pod's grace period."""

    drain_notice_seconds: float = Field(default=0.0, ge=0, le=10)
    """At the end: how long the servers say that they leave and still answer, before they close."""

    lame_duck_drain_seconds: float = Field(default=600.0, ge=0)
    """How long calls in hand may go on in lame duck mode: a successor runs already, as `mill up
    --rolling` has it, and new calls go there, so nobody waits for these."""

    @property
    def longest_end_seconds(self) -> float:
        """From SIGTERM until the process has ended; whoever kills it has to wait for longer."""
        return self.drain_notice_seconds + self.drain_seconds + BEYOND_DRAIN_SECONDS


class ServiceSettings(EndingSettings):
    """Settings that all services share, under each service's own prefix.

    Subclasses set `env_prefix`, for example `TRAINER_`. A setting without a default must be given:
    a service never guesses which bus, folder or secret is meant. Each secret NAME may be in a file,
    named by NAME_FILE.
    """

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is said to the constructor, else in a secret's file, else in the environment."""
        return (init_settings, SecretFiles(settings_cls), env_settings)

    nats_url: str
    """For example nats://127.0.0.1:4222; of several brokers in a cluster, separated by commas."""

    nats_nkey_seed_file: Path | None = None
    """The seed of this service's own identity at the broker; it or the token must be given."""

    nats_token: SecretStr | None = Field(default=None, validate_default=True)
    """Presented to a broker without identities: whoever has it may do everything."""

    nats_ca_file: Path | None = None
    """Whose certificate the broker must show; nothing is encrypted when unset."""

    nats_certificate_file: Path | None = None
    """Shown to a broker that asks for one."""

    nats_key_file: Path | None = None
    """Of that certificate."""

    nats_replicas: int = Field(default=1, ge=1, le=5)
    """Of streams that this service makes, which it does with a token; else `modelmill_bus.deploy`
    does."""

    service_secret: SecretStr
    """Presented by services to each other; required on every gRPC call and on /metrics."""

    artifact_root: Location
    """The content-addressed artifact store: a folder, file:///folder, or s3://bucket/prefix."""

    artifact_cache: Path | None = Field(default=None, validate_default=True)
    """Folder on this machine for copies of what a bucket holds; must be given for s3://."""

    artifact_cache_bytes: int = Field(default=64 << 30, gt=0)
    """What the cache may hold; folders in use may take it beyond."""

    grpc_address: str = "127.0.0.1:0"
    """Where this service listens for gRPC; port 0 takes a free one."""

    mtls_authority_path: OptionalFile = None
    """PEM file with the authority that vouches for services to each other. All three or none."""

    mtls_certificate_path: OptionalFile = None
    """PEM file with the certificate that this service shows to others; read again on a change."""

    mtls_key_path: OptionalFile = None
    """PEM file with its private key, without passphrase."""

    metrics_address: str = "127.0.0.1:0"
    """Where this service answers Prometheus, to holders of the service secret."""

    otlp_endpoint: str | None = None
    """OTLP/gRPC collector, for example http://127.0.0.1:4317; no traces leave when unset."""

    otlp_token: SecretStr | None = None
    """Sent to the collector as a bearer token."""

    blocked_seconds: float = Field(default=20.0, gt=0)
    """A process whose event loop has not run for this long ends, and is started again.

    Beside a training, a build and tests a service was seen to wait 6 s for a core.
    """

    log_level: str = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""

    @field_validator("nats_token")
    @classmethod
    def _is_there_without_an_identity(
        cls, token: SecretStr | None, info: ValidationInfo
    ) -> SecretStr | None:
        if token is None and info.data.get("nats_nkey_seed_file") is None:
            raise ValueError("the broker needs a credential: an nkey seed or a token")
        return token

    @field_validator("artifact_cache")
    @classmethod
    def _is_there_for_a_bucket(cls, cache: Path | None, info: ValidationInfo) -> Path | None:
        if cache is None and local_path(info.data.get("artifact_root", "")) is None:
            raise ValueError("an artifact root on a server needs a folder for local copies")
        return cache

    @model_validator(mode="after")
    def _whole_mutual_tls(self) -> "ServiceSettings":
        names = ("mtls_authority_path", "mtls_certificate_path", "mtls_key_path")
        given = [getattr(self, name) is not None for name in names]
        if any(given) and not all(given):
            prefix = self.model_config.get("env_prefix", "")
            raise ValueError(
                f"give all of {', '.join(f'{prefix}{name}'.upper() for name in names)}, or none"
            )
        return self

    def mutual_tls(self) -> "MutualTls | None":
        """Who this service is to others; None when it is to speak to them without TLS.

        Raises:
            CertificateError: a file is no good; the message says which, and what to do.
        """
        files = (self.mtls_authority_path, self.mtls_certificate_path, self.mtls_key_path)
        authority, certificate, key = files
        if authority is None or certificate is None or key is None:
            return None
        # Parsing certificates takes a library that a service without TLS need not load.
        from modelmill_service_kit.mutual_tls import MutualTls

        return MutualTls(authority, certificate, key)

    @property
    def nats_credential(self) -> Credential:
        """What is shown to the broker."""
        if self.nats_nkey_seed_file is not None:
            return NkeySeed(self.nats_nkey_seed_file)
        assert self.nats_token is not None  # as the validator sees to
        return self.nats_token.get_secret_value()

    @property
    def nats_tls(self) -> BusTls | None:
        """How the broker is known; None without TLS."""
        if self.nats_ca_file is None:
            return None
        return BusTls(self.nats_ca_file, self.nats_certificate_file, self.nats_key_file)

    @property
    def artifact_disk(self) -> Path:
        """The folder on this machine that artifacts fill: the store's own, or the cache."""
        folder = local_path(self.artifact_root) or self.artifact_cache
        assert folder is not None  # as the validator sees to
        return folder


class WorkerSettings(ServiceSettings):
    """Settings of a service that owns jobs: it serves, works, or does both."""

    role: str = "both"
    """serve (answers gRPC), work (claims jobs) or both."""

    work_root: Path
    """Scratch folder for running jobs; everything durable goes to the artifact store."""

    worker_slots: int = 1
    """Jobs that this process works on at a time."""

    worker_short_slots: int = Field(default=1, ge=0)
    """More jobs at a time, of those that are short, as far as they fit next to the others."""

    short_job_seconds: float = Field(default=600.0, ge=0)
    """A job that is expected to take no longer is short."""

    worker_cpus: float | None = Field(default=None, gt=0)
    """Cores that this process offers to jobs; unset for all that it may use."""

    worker_memory_bytes: int | None = Field(default=None, gt=0)
    """Memory that it offers; unset for all that it may use."""

    worker_gpus: int | None = Field(default=None, ge=0)
    """GPUs that it offers; unset for all of the machine."""

    worker_gpu_memory_bytes: int | None = Field(default=None, ge=0)
    """Memory of each GPU; unset for that of the smallest."""

    jobs_per_tenant: int = Field(default=0, ge=0)
    """Jobs of one tenant and kind in work at a time, over all workers of the kind, which must be
    told the same; 0 for any number."""

    claim_seconds: float = 30.0
    """A claim that shows no sign of life for this long is given to another worker."""

    @property
    def worker_size(self) -> MachineSize:
        """What this process offers to all its jobs together."""
        given = {
            "cpus": self.worker_cpus,
            "memory_bytes": self.worker_memory_bytes,
            "gpus": self.worker_gpus,
            "gpu_memory_bytes": self.worker_gpu_memory_bytes,
        }
        chosen = {name: value for name, value in given.items() if value is not None}
        return replace(this_machine(), **chosen)  # type: ignore[arg-type]
