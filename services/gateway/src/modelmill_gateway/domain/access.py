"""Who calls, and what a token may grant."""

from dataclasses import dataclass

from modelmill_service_kit.errors import PermissionDeniedError

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
BUDGETS = "budgets"
"""Say how much the tenant may use: for operators, not for those whom it limits."""

SCOPES = (
    *(CHAT, MODELS_READ, MODELS_WRITE, FILES, DATASETS, JOBS, WEBHOOKS, MODERATION),
    *(KEYS, USAGE, BUDGETS),
)


@dataclass(frozen=True)
class Caller:
    """The holder of a validated token or API key; no field comes from anything else it sent.

    `key_id` is empty with a token of an issuer; `models` None is every model of the tenant;
    `makers` are the keys that made the caller's, each made by the next; `limited` those of all of
    them that are known to have budgets.
    """

    tenant: str
    subject: str
    scopes: frozenset[str]
    key_id: str = ""
    models: frozenset[str] | None = None
    makers: tuple[str, ...] = ()
    limited: tuple[str, ...] = ()

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
            raise ModelNotAllowedError(f"the key may not ask for the model {name[:80]!r}")
