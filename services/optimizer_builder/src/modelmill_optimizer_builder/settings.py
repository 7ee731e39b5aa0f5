"""Settings of optimizer-builder, from environment variables."""

from modelmill_service_kit.settings import WorkerSettings
from pydantic_settings import SettingsConfigDict


class Settings(WorkerSettings):
    """The common worker settings; it has none of its own."""

    model_config = SettingsConfigDict(env_prefix="OPTIMIZER_BUILDER_", frozen=True)
