"""Entity spans and types."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

TYPES = (
    "secret",
    "url_credentials",
    "email",
    "iban",
    "cn_credit_code",
    "cn_id",
    "card",
    "us_ssn",
    "cn_passport",
    "phone",
    "ip",
    "cn_plate",
    "address",
    "person",
    "organisation",
)
"""All types, in order of precedence for equal spans."""

MODEL_TYPES = ("person", "organisation")
"""Types that need a spaCy pipeline."""

_RANK = {name: rank for rank, name in enumerate(TYPES)}


class Span(NamedTuple):
    """An entity at characters `start` to `end` (exclusive) of a text."""

    type: str
    start: int
    end: int


class EntityFinder(Protocol):
    """Deterministic entity finder."""

    def __call__(self, texts: Sequence[str]) -> list[list[Span]]:
        """Spans per text; they may overlap."""


def without_overlaps(spans: Iterable[Span], *, beside: Sequence[Span] = ()) -> list[Span]:
    """Resolve overlaps in favour of longer spans, then by `TYPES`; sorted by position.

    Args:
        beside: Spans with precedence, which do not overlap each other.
    """
    ranked = [*beside, *spans]
    if len(ranked) < 2:
        return ranked
    ranked[len(beside) :] = sorted(ranked[len(beside) :], key=_before_others)
    taken = bytearray(max(span.end for span in ranked))
    kept: list[Span] = []
    for span in ranked:
        if taken.find(1, span.start, span.end) < 0:
            taken[span.start : span.end] = b"\1" * (span.end - span.start)
            kept.append(span)
    return sorted(kept, key=lambda span: span.start)


def _before_others(span: Span) -> tuple[int, int, int]:
    return span.start - span.end, _RANK[span.type], span.start
