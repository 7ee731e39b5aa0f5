"""What every service reads from its environment; each service adds its own in `settings.py`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service_kit.locations import local_path
from service_kit.machine_size import MachineSize, this_machine

Location = Annotated[str, BeforeValidator(lambda at: str(at) if isinstance(at, Path) else at)]
"""A path, or a URL of where else files are."""


class ServiceSettings(BaseSettings):
    """Settings that all services share, under each service's own prefix.

    Subclasses set `env_prefix`, for example `TRAINER_`. A setting without a default must be given:
    a service never guesses which bus, folder or secret is meant.
    """

    model_config = SettingsConfigDict(frozen=True)

    nats_url: str
    """For example nats://127.0.0.1:4222."""

    nats_token: SecretStr
    """Presented to the broker."""

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
