"""One row of the route table, and what it may say."""

from dataclasses import dataclass
from enum import Enum

from modelmill_gateway.domain.model_names import ModelNames


class Body(Enum):
    """What a route takes, which decides how many bytes it may have."""

    NONE = "none"
    JSON = "json"
    UPLOAD = "upload"


class Dialect(Enum):
    """Whose clients speak to a route, which decides in what shape it refuses."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


@dataclass(frozen=True)
class Route:
    """One operation. `scope` None opens it to everybody."""

    name: str
    method: str
    path: str
    scope: str | None
    summary: str
    models: ModelNames
    """Where it names models. No default: who adds a route has to say."""
    body: Body = Body.NONE
    dialect: Dialect = Dialect.OPENAI


def route(
    method: str, path: str, name: str, scope: str | None, summary: str, models: ModelNames
) -> Route:
    """A row that takes JSON if its method says so."""
    body = Body.JSON if method in ("POST", "PUT") else Body.NONE
    return Route(name, method, path, scope, summary, models, body)
