"""Settings of data-prep, from environment variables."""

from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Self

from modelmill_service_kit.settings import WorkerSettings
from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict


class Settings(WorkerSettings):
    """Worker settings, and limits of uploads."""

    model_config = SettingsConfigDict(env_prefix="DATA_PREP_", frozen=True)

    role: Literal["serve", "work", "both"] = "both"
    """serve (answers gRPC), work (claims jobs) or both."""

    max_upload_bytes: int = Field(default=1024**3, gt=0)
    """Size limit of a file."""

    max_uploads: int = Field(default=8, gt=0)
    """Concurrent uploads; each takes up to `max_upload_bytes` of `work_root`."""

    max_open_uploads: int = Field(default=8, gt=0)
    """Open multipart uploads per tenant; each takes up to twice its size of `work_root`, and once
    more during completion."""

    max_row_bytes: int = Field(default=1024**2, gt=0)
    """Longer rows are quarantined."""

    processes: int = Field(default=0, ge=0)
    """Worker processes per job; 0 for one per available core."""

    ray_address: str = ""
    """Ray cluster that transforms rows, "host:port" or "ray://host:port"; empty for this
    machine."""

    ray_token_file: Path | None = None
    """File with the cluster's authentication token."""

    inference_address: str = ""
    """Address of the inference service; if empty, specs that use models are rejected."""

    inference_at_once: int = Field(default=8, gt=0)
    """Concurrent model requests of one job."""

    @model_validator(mode="after")
    def _ray_at_hand(self) -> Self:
        if self.ray_address and find_spec("ray") is None:
            raise ValueError(
                "DATA_PREP_RAY_ADDRESS wants Ray beside data-prep: deploy/ray/requirements.txt"
            )
        if self.ray_address and self.ray_token_file is None:
            raise ValueError("DATA_PREP_RAY_ADDRESS wants DATA_PREP_RAY_TOKEN_FILE")
        return self
