"""Where entities are in a text."""

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
"""All types; of two that claim the same characters the earlier one has them."""

MODEL_TYPES = ("person", "organisation")
"""Types that no rule knows: a spaCy pipeline finds them."""

_RANK = {name: rank for rank, name in enumerate(TYPES)}


class Span(NamedTuple):
    """An entity: characters `start` to `end` of a text, the end not included."""

    type: str
    start: int
    end: int


class EntityFinder(Protocol):
    """Finds entities. The same text always has the same ones."""

    def __call__(self, texts: Sequence[str]) -> list[list[Span]]:
        """Of each text what is in it; spans may overlap."""


def without_overlaps(spans: Iterable[Span], *, beside: Sequence[Span] = ()) -> list[Span]:
    """The spans in the order of the text, of those that overlap the longest, then by `TYPES`.

    Args:
        beside: Stay before all others; they do not overlap.
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
