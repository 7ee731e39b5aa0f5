"""What short pieces did before: the words of most texts are few, and come again and again.

A table is shared by all texts under a policy, so it is bounded, and texts choose its keys: when it
is full it starts afresh, so that what somebody filled it with does not stay.
"""

from typing import TypeVar

MOST_REMEMBERED = 8192
"""Entries; about 2 MB when full."""
LONGEST_REMEMBERED = 32
"""Characters: words and tokens. Longer pieces seldom come twice."""

KeyT = TypeVar("KeyT")


def remember(known: dict[KeyT, int], key: KeyT, value: int) -> None:
    """Add to a table."""
    if len(known) >= MOST_REMEMBERED:
        known.clear()
    known[key] = value
