"""Ways to read a text so that several ways to write a keyword look alike, character for character.

Where the text as read has a keyword as read, the text as written decides.
"""

from collections.abc import Callable
from operator import methodcaller
from typing import NamedTuple


class Reading(NamedTuple):
    """How text and keywords are read."""

    read: Callable[[str], str]
    """Gives a text of the same length."""
    spells: Callable[[str, str], bool]
    """Whether the second, which reads as the keyword, is a way to write it."""
    alike: str = ""
    """Characters that are read alike, though text other than keywords has them as they are."""
    exact: str = ""
    """Those that keywords have as they are."""


AS_WRITTEN = Reading(str, str.__eq__)


def _is_hyphened(keyword: str, written: str) -> bool:
    return all(
        shown == letter or letter == " " for letter, shown in zip(keyword, written, strict=True)
    )


HYPHENED = Reading(methodcaller("replace", "-", " "), _is_hyphened, alike="- ", exact="-")
"""A hyphen stands for a space of a keyword, but no space for a hyphen."""
