"""What is said of one route in the API document."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Body:
    """A JSON body and an example of it."""

    shape: type[Any]
    example: dict[str, Any] | None = None


@dataclass(frozen=True)
class Operation:
    """One route. `refusals` are those beyond what its scope, path and body bring with them."""

    answer: type[Any] | None
    """None when it is no JSON of a shape of its own."""
    example: dict[str, Any] | None = None
    """None when its model has one."""
    body: Body | None = None
    status: int = 200
    events: type[Any] | None = None
    """What a stream of server-sent events carries, for who asks for one."""
    refusals: tuple[int, ...] = ()
