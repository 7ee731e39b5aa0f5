"""What the trainer reads from its environment."""

from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict
from service_kit.settings import WorkerSettings


class Settings(WorkerSettings):
    """Those of every worker, and how much of the machine a run may use."""

    model_config = SettingsConfigDict(env_prefix="TRAINER_", frozen=True)

    role: Literal["serve", "work", "both"] = "both"
    """serve (answers gRPC), work (claims jobs) or both."""

    threads: int = Field(default=0, ge=0)
    """Of the work process; 0 for one a core."""
