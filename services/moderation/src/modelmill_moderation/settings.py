"""What moderation reads from its environment."""

import json
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from modelmill_service_kit.settings import ServiceSettings
from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode, SettingsConfigDict

from modelmill_moderation.safety_service_settings import SafetyServiceSettings


def packaged_policies() -> Path:
    """Folder of the starter policies that come with the service."""
    return Path(str(resources.files("modelmill_moderation") / "policies"))


def _decoded(given: Any) -> Any:
    """JSON as an environment has it; an empty variable is how a compose file says none."""
    if not isinstance(given, str):
        return given
    return json.loads(given) if given.strip() else {}


class Settings(ServiceSettings):
    """Those of every service, and the policy that binds tenants without one of their own."""

    model_config = SettingsConfigDict(env_prefix="MODERATION_", frozen=True)

    policy_path: Path = Field(default_factory=packaged_policies)
    """A YAML policy, or a folder of them that together are one policy."""

    rule_cost_microseconds: float = Field(default=20.0, gt=0)
    """CPU time that a tenant's rules together may take for a character of the worst text that is
    tried when they are put in force."""

    audit_queue: int = Field(default=10_000, gt=0)
    """Audit records that wait while the bus is away; more are dropped and counted."""

    inference_address: str = ""
    """Of the service whose models are judges; without it such judges give no opinion."""

    classifier_seconds: float = Field(default=2.0, gt=0, le=60)
    """How long such a judge may take for a window."""

    classifier_cache_entries: int = Field(default=10_000, ge=0, le=1_000_000)
    """Their answers that are remembered; 0 for none."""

    classifier_cache_seconds: float = Field(default=300.0, ge=0, le=86_400)
    """For so long, or until another version answers for the alias."""

    safety_services: Annotated[
        dict[str, SafetyServiceSettings], NoDecode, BeforeValidator(_decoded)
    ] = Field(default_factory=dict)
    """Content-safety services by the names that policies use, as a JSON object."""
