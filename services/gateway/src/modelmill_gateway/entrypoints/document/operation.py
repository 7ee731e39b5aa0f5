"""What is said of one route in the API document."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel


@dataclass(frozen=True)
class Operation:
    """One route. `refusals` are those beyond what its scope, path and body bring with them."""

    response: type[Any] | None
    """A response model or typed dict; None when it is no JSON of a shape of its own."""
    body: type[BaseModel] | None = None
    status: int = 200
    events: type[Any] | None = None
    """What a stream of server-sent events carries, for who asks for one."""
    refusals: tuple[int, ...] = ()
