"""What moderation reads from its environment."""

from importlib import resources
from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict
from service_kit.settings import ServiceSettings


def packaged_policies() -> Path:
    """Folder of the starter policies that come with the service."""
    return Path(str(resources.files("moderation") / "policies"))


class Settings(ServiceSettings):
    """Those of every service, and the policy that binds tenants without one of their own."""

    model_config = SettingsConfigDict(env_prefix="MODERATION_", frozen=True)

    policy_path: Path = Field(default_factory=packaged_policies)
    """A YAML policy, or a folder of them that together are one policy."""

    audit_queue: int = Field(default=10_000, gt=0)
    """Audit records that wait while the bus is away; more are dropped and counted."""
