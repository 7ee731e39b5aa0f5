"""What the trainer reads from its environment."""

from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict
from service_kit.settings import WorkerSettings

from trainer.domain.limits import Price


class Settings(WorkerSettings):
    """Those of every worker, and what a training process may take of the machine."""

    model_config = SettingsConfigDict(env_prefix="TRAINER_", frozen=True)

    role: Literal["serve", "work", "both"] = "both"
    """serve (answers gRPC), work (claims jobs) or both."""

    threads: int = Field(default=0, ge=0)
    """Threads of a training process; 0 for one a core. Below the cores when `worker_slots` is more
    than 1, or the processes wait for each other at every operation."""

    price_per_hour: float = Field(default=0.0, ge=0)
    """Of one core, or of one GPU where there is one; 0 when nobody is charged."""

    currency: str = ""
    """Of the price, as people shall read it."""

    seconds_between_interruptions: float = Field(default=3600.0, gt=0)
    """How long a worker lives on average; says how often a run saves its state. Spot machines live
    less long than others."""

    @property
    def price(self) -> Price:
        """What is asked for the machine."""
        return Price(per_hour=self.price_per_hour, currency=self.currency)
