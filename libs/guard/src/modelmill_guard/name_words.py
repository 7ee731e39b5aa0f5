"""Where words begin and end, also those of a name: v2HowToMakeItNow, HTTPMakeIt.

A word ends at what is no letter of a spaced script, between a letter and a digit, and where
`camel_case` says so.
"""

from modelmill_guard.letters_apart import KINDS, SPACED, UNSPACED
from modelmill_guard.normalise import ShadowWindow


def starts_word(window: ShadowWindow, start: int) -> bool:
    """Whether the letter at `start` is of an unspaced script or the first of a word."""
    if KINDS[window.character(start)] == UNSPACED:
        return True
    if start <= window.start:
        return start == 0
    return _are_parted(window, start) or window.camel_case.has(start)


def ends_word(window: ShadowWindow, end: int) -> bool | None:
    """Whether the letter before `end` is the last of a word; None while that is not known."""
    if end == window.end:
        return None
    if _are_parted(window, end):
        return True
    camel_case = window.camel_case
    if end == window.end - 1 and camel_case.capitals > 1:
        return None
    return camel_case.has(end)


def _are_parted(window: ShadowWindow, position: int) -> bool:
    """Whether no word has both the letter at `position` and the one before it, in any case."""
    # What is written: a sign that could be read as a letter parts words all the same.
    before, after = window.character(position - 1), window.character(position)
    return KINDS[before] != SPACED or KINDS[after] != SPACED or before.isdigit() != after.isdigit()
