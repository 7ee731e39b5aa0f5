"""Settings of a content-safety service; policies refer to it by name."""

import ipaddress
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class SafetyServiceSettings(BaseModel):
    """One entry of `MODERATION_SAFETY_SERVICES`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    """Endpoint, such as https://safety.example/v1/moderations."""

    style: Literal["openai", "azure"] = "openai"
    """API format: OpenAI's moderations, or Azure's `text:analyze`."""

    model: str = ""
    """Model in requests in OpenAI's format; empty for the service's default."""

    token_file: Path | None = None
    """File with the bearer token or key; read for each request, so that it can be rotated."""

    ca_file: Path | None = None
    """CA certificates for this service, instead of the system's."""

    timeout_seconds: float = Field(default=2.0, gt=0, le=60)
    """Deadline for one window, over all attempts."""

    attempts: int = Field(default=2, ge=1, le=5)

    cache_entries: int = Field(default=10_000, ge=0, le=1_000_000)
    """Cached responses; 0 turns the cache off."""

    cache_seconds: float = Field(default=300.0, ge=0, le=86_400)

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        if not url.isascii() or not url.isprintable() or " " in url:
            raise ValueError("a URL is printable ASCII without spaces")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must begin with https:// or http:// and a host")
        if "@" in parts.netloc or parts.fragment:
            raise ValueError("no user, password or fragment; a token has a file")
        return url

    @model_validator(mode="after")
    def _keeps_its_token_secret(self) -> "SafetyServiceSettings":
        parts = urlsplit(self.url)
        if self.token_file is not None and parts.scheme == "http" and not _is_here(parts.hostname):
            raise ValueError("a token goes over https, or to this machine")
        return self


def _is_here(host: str | None) -> bool:
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"
