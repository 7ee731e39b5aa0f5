"""Where capitals begin words within others: the m of fnMake and of HTTPMake.

A shadow copy has no case, so this is noted while a text is read. A capital begins a word after a
small letter or a digit, and where it is the last of several before a small letter. Of capitals in
a row the last one seen so far may be that: it is noted until the next character decides.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from copy import copy
from itertools import islice
from string import ascii_uppercase

_START = re.compile(r"[A-Z](?:(?<=[^\W_A-Z].)|(?<=[A-Z].)(?=[^\W\d_A-Z]|\Z))")


class CamelCase:
    """The places in a growing shadow copy."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        """In order."""
        self.capitals = 0
        """How many the text ends with so far; at most two are counted."""

    def read(self, before: str, cased: str, at: int) -> None:
        """Go on, after the shadow character `before`, by shadow characters with their case."""
        if self.capitals > 1:
            self.starts.pop()
        text = ("A" * self.capitals or before) + cased
        if _START.search(text):
            first = at + len(cased) - len(text)
            self.starts += [first + start.start() for start in _START.finditer(text)]
        last = text[-2:]
        self.capitals = len(last) - len(last.rstrip(ascii_uppercase))

    def has(self, position: int) -> bool:
        """Whether a word begins there, or may."""
        at = bisect_left(self.starts, position)
        return at < len(self.starts) and self.starts[at] == position

    def from_position(self, position: int) -> Iterator[int]:
        """The places from `position` on."""
        return islice(self.starts, bisect_left(self.starts, position), None)

    def drop_before(self, position: int) -> None:
        """Forget what lies before `position`."""
        del self.starts[: bisect_left(self.starts, position)]

    def fork(self) -> "CamelCase":
        """One that goes on by itself."""
        twin = copy(self)
        twin.starts = [*self.starts]
        return twin


def with_case(character: str, shadow: str) -> str:
    """The shadow of a character, with A for all of it where that is a capital of another's."""
    return "A" * len(shadow) if character.isupper() and shadow != character else shadow
