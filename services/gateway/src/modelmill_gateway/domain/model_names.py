"""Where the requests of a route name models; each row of the route table has to say.

A key with a list of models is refused by this at both servers, before a handler sees the request.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Reach(Enum):
    """What a route does to models beyond those that its requests name."""

    NONE = "none"
    LISTS = "lists"
    """Its answer lists models: only those that the key may ask for."""
    ALL = "all"
    """It changes something for every model of the tenant: nothing for a key of some."""
    JOB = "job"
    """It steers the job that stands at `path`: only one that the key itself ordered."""
    EVAL = "eval"
    """The graders of the eval that stands at `path` ask models, too."""


@dataclass(frozen=True)
class ModelNames:
    """Places where requests name models. Of a list, or of fields within one, each name counts."""

    body: tuple[str, ...] = ()
    """Fields of the JSON body, with dots between those that lie within each other."""
    path: str = ""
    """A place in the path: of a model, or of what `reach` says."""
    is_default_meant: bool = False
    """Where no model is named the operator's default is asked."""
    reach: Reach = Reach.NONE


NO_MODELS = ModelNames()
ONE_MODEL = ModelNames(("model",))


@dataclass(frozen=True)
class Named:
    """Models that one request names."""

    models: tuple[str, ...] = ()
    other: str = ""
    """The job or eval."""


def names_at(message: Any, field: str) -> Iterator[str]:
    """The names at `field` of a parsed JSON body or of a message; an empty one is none."""
    if not field:
        yield from _texts(message)
        return
    name, _, rest = field.partition(".")
    for each in _each(message):
        if isinstance(each, Mapping):
            yield from names_at(each.get(name), rest)
        elif hasattr(each, "DESCRIPTOR"):
            yield from names_at(getattr(each, name), rest)


def _texts(value: Any) -> Iterator[str]:
    yield from (each for each in _each(value) if isinstance(each, str) and each)


def _each(value: Any) -> Iterable[Any]:
    """The elements of a list, or of a message's repeated field; anything else is its own."""
    is_many = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
    return value if is_many else (value,)
