"""Texts of others on a terminal."""

import re

from rich.markup import escape

_UNSEEN = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u2069\\ufeff]")
"""Controls, which a terminal would obey, marks that turn the direction of what follows, and
characters of no width."""


def plain(text: str) -> str:
    """A text as it is written: no markup of ours, nothing that moves the cursor or hides."""
    return escape(_UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text))
