"""Lists in pages, as OpenAI's clients turn them: after an id, at most so many."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from modelmill_gateway.domain.errors import BadRequestError

T = TypeVar("T")

DEFAULT_LIMIT = 20
MAX_LIMIT = 100


@dataclass(frozen=True)
class PageRequest:
    """Where a page starts and how long it is. `after` empty is the beginning."""

    after: str = ""
    limit: int = DEFAULT_LIMIT


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some of a list, and whether there is more."""

    items: Sequence[T]
    has_more: bool


def page_of(items: Sequence[T], wanted: PageRequest, id_of: Callable[[T], str]) -> Page[T]:
    """The part of `items` that follows the item whose id is `wanted.after`.

    Raises:
        BadRequestError: no item has that id.
    """
    start = 0
    if wanted.after:
        # Items may be costly to look at: none is, beyond the one that is sought.
        at = (place for place, item in enumerate(items) if id_of(item) == wanted.after)
        found = next(at, None)
        if found is None:
            raise BadRequestError(f"after: there is no {wanted.after[:80]!r}", param="after")
        start = found + 1
    end = start + wanted.limit
    return Page(items[start:end], has_more=end < len(items))
