"""What every service reads from its environment; each service adds its own in `settings.py`."""

from pathlib import Path
from typing import Annotated, TypedDict

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service_kit.locations import local_path

Location = Annotated[str, BeforeValidator(lambda at: str(at) if isinstance(at, Path) else at)]
"""A path, or a URL of where else files are."""


class Broker(TypedDict):
    """How the bus is reached: what `jobs.bus.Bus.connect` takes."""

    url: str
    token: str
    replicas: int


class ServiceSettings(BaseSettings):
    """Settings that all services share, under each service's own prefix.

    Subclasses set `env_prefix`, for example `TRAINER_`. A setting without a default must be given:
    a service never guesses which bus, folder or secret is meant.
    """

    model_config = SettingsConfigDict(frozen=True)

    nats_url: str
    """For example nats://127.0.0.1:4222; of several brokers in a cluster, separated by commas."""

    nats_token: SecretStr
    """Presented to the broker."""

    nats_replicas: int = Field(default=1, ge=1, le=5)
    """Of streams that this service finds missing: 3 survive the loss of one of three brokers."""

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

    metrics_address: str = "127.0.0.1:0"
    """Where this service answers Prometheus, to holders of the service secret."""

    otlp_endpoint: str | None = None
    """OTLP/gRPC collector, for example http://127.0.0.1:4317; no traces leave when unset."""

    otlp_token: SecretStr | None = None
    """Sent to the collector as a bearer token."""

    drain_seconds: float = 10.0
    """How long calls in hand may go on after SIGTERM; below the pod's grace period."""

    log_level: str = "INFO"

    @field_validator("artifact_cache")
    @classmethod
    def _is_there_for_a_bucket(cls, cache: Path | None, info: ValidationInfo) -> Path | None:
        if cache is None and local_path(info.data.get("artifact_root", "")) is None:
            raise ValueError("an artifact root on a server needs a folder for local copies")
        return cache

    @property
    def broker(self) -> Broker:
        """What a bus is connected with."""
        return Broker(
            url=self.nats_url,
            token=self.nats_token.get_secret_value(),
            replicas=self.nats_replicas,
        )

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

    claim_seconds: float = 30.0
    """A claim that shows no sign of life for this long is given to another worker."""
