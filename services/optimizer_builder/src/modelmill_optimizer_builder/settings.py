"""What optimizer-builder reads from its environment."""

from modelmill_service_kit.settings import WorkerSettings
from pydantic_settings import SettingsConfigDict


class Settings(WorkerSettings):
    """Those of every worker; nothing of its own."""

    model_config = SettingsConfigDict(env_prefix="OPTIMIZER_BUILDER_", frozen=True)
