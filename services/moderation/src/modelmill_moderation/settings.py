"""Settings of moderation, from environment variables."""

import json
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from modelmill_service_kit.settings import ServiceSettings
from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode, SettingsConfigDict

from modelmill_moderation.safety_service_settings import SafetyServiceSettings


def packaged_policies() -> Path:
    """Folder of the starter policies in the package."""
    return Path(str(resources.files("modelmill_moderation") / "policies"))


def _decoded(given: Any) -> Any:
    """Decode JSON of an environment variable; compose files pass an empty one for none."""
    if not isinstance(given, str):
        return given
    return json.loads(given) if given.strip() else {}


class Settings(ServiceSettings):
    """Common service settings, and those of policies and judges."""

    model_config = SettingsConfigDict(env_prefix="MODERATION_", frozen=True)

    policy_path: Path = Field(default_factory=packaged_policies)
    """A YAML policy, or a folder of YAML files that form one policy."""

    rule_cost_microseconds: float = Field(default=20.0, gt=0)
    """CPU time per character that a tenant's rules together may take, on the worst text tried when
    they are put in force."""

    audit_queue: int = Field(default=10_000, gt=0)
    """Audit records buffered while the bus is unreachable; further ones are dropped and counted."""

    inference_address: str = ""
    """Address of the inference service, whose models are classifier judges; empty for none."""

    classifier_seconds: float = Field(default=2.0, gt=0, le=60)
    """Timeout of a classifier judge per window."""

    classifier_cache_entries: int = Field(default=10_000, ge=0, le=1_000_000)
    """Cached scores of classifier judges; 0 turns the cache off."""

    classifier_cache_seconds: float = Field(default=300.0, ge=0, le=86_400)
    """Time to live of cached scores; a new version of the alias invalidates them earlier."""

    safety_services: Annotated[
        dict[str, SafetyServiceSettings], NoDecode, BeforeValidator(_decoded)
    ] = Field(default_factory=dict)
    """Content-safety services by the name used in policies, as a JSON object."""
