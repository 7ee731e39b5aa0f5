"""What a policy says of the time in which the service that judges does not answer."""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum


class WhenUnavailable(StrEnum):
    """What becomes of an input while the service that judges inputs does not answer."""

    CLOSED = "closed"
    """Nothing passes."""

    RULES_ONLY = "rules_only"
    """The policy's rules judge it where it arrives, and no record is kept."""


_BEHAVIOURS = {behaviour.value: behaviour for behaviour in WhenUnavailable}


def read_when_unavailable(
    name: str, document: Mapping[str, object], errors: list[str]
) -> Iterator[WhenUnavailable]:
    """What a document says, if it says anything."""
    written = document.get("when_unavailable")
    if isinstance(written, str) and written in _BEHAVIOURS:
        yield _BEHAVIOURS[written]
    elif "when_unavailable" in document:
        errors.append(f"{name}: when_unavailable must be one of {', '.join(_BEHAVIOURS)}")


def strictest(said: Iterable[WhenUnavailable]) -> WhenUnavailable:
    """Closed, unless all that was said is that rules may judge alone."""
    return min(said, default=WhenUnavailable.CLOSED, key=list(WhenUnavailable).index)
