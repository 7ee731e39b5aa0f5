"""Who calls, and what a token may grant."""

from dataclasses import dataclass

from service_kit.errors import PermissionDeniedError

CHAT = "chat"
MODELS_READ = "models:read"
MODELS_WRITE = "models:write"
FILES = "files"
DATASETS = "datasets"
JOBS = "jobs"
WEBHOOKS = "webhooks"
MODERATION = "moderation"

SCOPES = (CHAT, MODELS_READ, MODELS_WRITE, FILES, DATASETS, JOBS, WEBHOOKS, MODERATION)


@dataclass(frozen=True)
class Caller:
    """The holder of a validated token. Every field comes from its claims, none from the request."""

    tenant: str
    subject: str
    scopes: frozenset[str]

    def require(self, scope: str) -> None:
        """Raise PermissionDeniedError unless the token grants `scope`."""
        if scope not in self.scopes:
            raise PermissionDeniedError(f"the token does not grant the scope {scope}")
