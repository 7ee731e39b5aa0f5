"""Settings of optimizer-builder, from environment variables."""

from modelmill_service_kit.settings import WorkerSettings
from pydantic import Field
from pydantic_settings import SettingsConfigDict


class Settings(WorkerSettings):
    """The common worker settings, and what the machine costs."""

    model_config = SettingsConfigDict(env_prefix="OPTIMIZER_BUILDER_", frozen=True)

    machine_price_per_hour: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Price of the machine that serves, in any currency; unset, no cost is computed, and objectives
    of cost are refused."""
