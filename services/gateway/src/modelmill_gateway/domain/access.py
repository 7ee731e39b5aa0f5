"""Callers: what a token or an API key may grant, and what a key looks like."""

import hashlib
import re
import secrets
from dataclasses import dataclass, replace

from modelmill_service_kit.errors import PermissionDeniedError
from modelmill_service_kit.nearest import did_you_mean

from modelmill_gateway.domain.errors import ModelNotAllowedError

CHAT = "chat"
MODELS_READ = "models:read"
MODELS_WRITE = "models:write"
FILES = "files"
DATASETS = "datasets"
JOBS = "jobs"
WEBHOOKS = "webhooks"
MODERATION = "moderation"
KEYS = "keys"
"""Make API keys, show and revoke them."""
USAGE = "usage"
"""Read what the tenant used."""
LOGS = "logs"
"""Read and delete what the tenant logged: the texts of its requests and answers."""
BUDGETS = "budgets"
"""Say how much the tenant may use: for operators, not for those whom it limits."""

OPERATOR = "operator"
"""Create, limit and suspend tenants. Only a token of our own issuer can have it."""

SCOPES = (
    *(CHAT, MODELS_READ, MODELS_WRITE, FILES, DATASETS, JOBS, WEBHOOKS, MODERATION),
    *(KEYS, USAGE, LOGS, BUDGETS),
)
"""What a tenant's own tokens and keys may have."""


@dataclass(frozen=True)
class Caller:
    """The holder of a validated token or API key; no field comes from anything else it sent.

    `key_id` is empty with a token of an issuer; `models` None is every model of the tenant;
    `makers` are the keys that made the caller's, each made by the next; `limited` those of all of
    them that are known to have budgets; `expires` is the credential's end, None for ever.
    """

    tenant: str
    subject: str
    scopes: frozenset[str]
    key_id: str = ""
    models: frozenset[str] | None = None
    makers: tuple[str, ...] = ()
    limited: tuple[str, ...] = ()
    expires: float | None = None
    """Seconds since 1970."""
    is_logged: bool = False
    """Whether what is asked with the key is logged."""

    def require(self, scope: str) -> None:
        """Raise PermissionDeniedError unless the token grants `scope`."""
        if scope not in self.scopes:
            raise PermissionDeniedError(f"the token does not grant the scope {scope}")

    def may_ask(self, *names: str) -> bool:
        """Whether one of `names` is that of a model that the caller may ask for."""
        return self.models is None or any(name in self.models for name in names)

    def require_model(self, name: str) -> None:
        """Raise ModelNotAllowedError unless the caller may ask for a model by this very name."""
        if not self.may_ask(name):
            named = sorted(self.models or ())
            more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
            raise ModelNotAllowedError(
                f"the key may not ask for the model {name[:80]!r}.{did_you_mean(name, named)}"
                f" It may ask for {', '.join(named[:MOST_NAMED])}{more}"
            )


MOST_NAMED = 5
"""Models of a key that a refusal names."""
BEGINNING = "mm-"
"""What tells a key from a token of an issuer, which is three parts with dots between them."""
SECRET_BYTES = 32
PREFIX_CHARS = 10
"""Shown for ever, so that people know a key again; 42 of its 256 bits."""
MOST_OF_A_TENANT = 1000
"""Keys that count at a time."""
MOST_KEPT_OF_A_TENANT = 10_000
"""Records at a time, with those of keys that count no more."""
MOST_IN_LINE = 8
"""Keys of which each made the next: a request is charged to all of them."""
KEPT_SECONDS = 30 * 24 * 3600
"""How long the record of a key is shown after its end, and then forgotten."""

_KEY = re.compile(r"mm-[A-Za-z0-9_-]{43}")


def new_key() -> str:
    """A key that nobody has had before and nobody can guess."""
    return BEGINNING + secrets.token_urlsafe(SECRET_BYTES)


def sha256_of(key: str) -> str:
    """What is kept of a key. Its 256 random bits need no salt and no slow function."""
    return hashlib.sha256(key.encode()).hexdigest()


def is_key(text: str) -> bool:
    """Whether `text` has the form of a key."""
    return _KEY.fullmatch(text) is not None


@dataclass(frozen=True)
class Authority:
    """What a key lets its holder do. `models` None is all of them, `expires` None is for ever."""

    scopes: frozenset[str]
    models: frozenset[str] | None = None
    expires: float | None = None
    """Seconds since 1970."""
    draws_on: frozenset[str] = frozenset()
    """Keys whose limits hold for what it asks: it is limited, for some in its line are."""

    def bounded_by(self, maker: "Authority") -> "Authority":
        """What is left of this within what made it, which may have become less since."""
        models = self.models if maker.models is None else maker.models
        if self.models is not None and maker.models is not None:
            models = self.models & maker.models
        ends = [each.expires for each in (self, maker) if each.expires is not None]
        return replace(
            self,
            scopes=self.scopes & maker.scopes,
            models=models,
            expires=min(ends) if ends else None,
        )

    def drawing_on(self, keys: frozenset[str]) -> "Authority":
        """The same, on the limits of these keys."""
        return replace(self, draws_on=self.draws_on | keys)

    def require_within(self, granter: "Authority") -> None:
        """Raise PermissionDeniedError unless `granter` has all of this itself."""
        beyond = sorted(self.scopes - granter.scopes)
        if beyond:
            raise PermissionDeniedError(f"you do not have {', '.join(beyond)}, and cannot grant it")
        if granter.models is not None and (self.models is None or self.models - granter.models):
            named = ", ".join(sorted(granter.models))
            raise PermissionDeniedError(f"the key may ask only for what yours may: {named}")
        if granter.expires is not None and (self.expires or float("inf")) > granter.expires:
            raise PermissionDeniedError("the key may not outlive yours")
        if granter.draws_on - self.draws_on:
            raise PermissionDeniedError("the key does not draw on the limits that hold for yours")
