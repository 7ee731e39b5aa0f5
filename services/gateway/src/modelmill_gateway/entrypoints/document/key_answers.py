"""Shapes of API keys, with an example of each."""

from typing import Any, Literal

from modelmill_gateway.entrypoints.document.examples import AT
from modelmill_gateway.entrypoints.document.shape import Answer, Page

KEY_ID = "key-6f0d2a"


class KeyLimits(Answer):
    """Limits of a key; null means no limit. `money` is a decimal number as text."""

    requests_per_minute: int | None
    tokens_per_minute: int | None
    parallel_requests: int | None
    tokens: int | None
    money: str | None
    period: Literal["day", "month"] | None


class ApiKey(Answer):
    """Record of an API key; `prefix` has its first characters. Empty `models` means all of the
    tenant's.
    """

    id: str
    object: Literal["api_key"]
    name: str
    prefix: str
    status: Literal["active", "expired", "revoked"]
    scopes: list[str]
    models: list[str]
    limits: KeyLimits
    expires_at: int | None
    created_at: int
    created_by: str
    changed_by: str


class ApiKeyPage(Page[ApiKey]):
    """API keys, newest first, including revoked and expired ones."""


class IssuedApiKey(ApiKey):
    """API key and its record; the key is shown once and not stored."""

    key: str


LIMITS: dict[str, Any] = {
    "requests_per_minute": 600,
    "tokens_per_minute": None,
    "parallel_requests": 8,
    "tokens": None,
    "money": "12.50",
    "period": "month",
}
BODY = {
    "name": "support bot",
    "scopes": ["chat", "models:read"],
    "models": ["wordnet"],
    "expires_in_seconds": 7776000,
    "limits": LIMITS,
}
CHANGE = {"limits": {"requests_per_minute": 60}}
KEY: dict[str, Any] = {
    "id": KEY_ID,
    "object": "api_key",
    "name": "support bot",
    "prefix": "mm-Wq3xT0a",
    "status": "active",
    "scopes": ["chat", "models:read"],
    "models": ["wordnet"],
    "limits": {**LIMITS, "money": "12.5"},
    "expires_at": AT + 7776000,
    "created_at": AT,
    "created_by": "ada",
    "changed_by": "ada",
}
ISSUED = {**KEY, "key": "mm-Wq3xT0aEXAMPLEkeyEXAMPLEkeyEXAMPLEkeyEXAMPL"}
