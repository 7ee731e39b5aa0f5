"""What data-prep reads from its environment."""

from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Self

from modelmill_service_kit.settings import WorkerSettings
from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict


class Settings(WorkerSettings):
    """Those of every worker, and the limits on what comes in."""

    model_config = SettingsConfigDict(env_prefix="DATA_PREP_", frozen=True)

    role: Literal["serve", "work", "both"] = "both"
    """serve (answers gRPC), work (claims jobs) or both."""

    max_upload_bytes: int = Field(default=1024**3, gt=0)
    """A larger file is refused."""

    max_uploads: int = Field(default=8, gt=0)
    """Uploads at a time; each takes up to `max_upload_bytes` of `work_root` while it runs."""

    max_open_uploads: int = Field(default=8, gt=0)
    """Uploads in parts of one tenant's that are open at a time; each takes up to twice its size of
    `work_root`, and once more while it is completed."""

    max_row_bytes: int = Field(default=1024**2, gt=0)
    """A longer row is quarantined."""

    processes: int = Field(default=0, ge=0)
    """Worker processes of one job; 0 means one for each core that this process may use."""

    ray_address: str = ""
    """Ray cluster whose nodes work on the rows, "host:port" or "ray://host:port"; empty: this
    machine does."""

    ray_token_file: Path | None = None
    """Holds the token that the cluster wants to be shown."""

    inference_address: str = ""
    """Of the inference service, which models are asked at; empty: specs that ask are refused."""

    inference_at_once: int = Field(default=8, gt=0)
    """Questions of one job to models that are open at any time."""

    @model_validator(mode="after")
    def _ray_at_hand(self) -> Self:
        if self.ray_address and find_spec("ray") is None:
            raise ValueError(
                "DATA_PREP_RAY_ADDRESS wants Ray beside data-prep: deploy/ray/requirements.txt"
            )
        if self.ray_address and self.ray_token_file is None:
            raise ValueError("DATA_PREP_RAY_ADDRESS wants DATA_PREP_RAY_TOKEN_FILE")
        return self
