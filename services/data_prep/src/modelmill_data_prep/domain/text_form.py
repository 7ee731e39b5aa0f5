"""Text normalisation: a visible-preserving form for training, and a key for comparison.

Training text keeps letters, case, width, punctuation, line breaks and indentation. Removed are
control and zero-width characters, repeated spaces, and blanks around lines and texts. All functions
take linear time on any input.
"""

import re
import unicodedata
from functools import cache
from typing import Literal

_JOINING = (
    "\u0590-\u08ff\u0900-\u0dff\u0e00-\u109f\u1780-\u18af\ufb1d-\ufdff\ufe0f\ufe70-\ufefc"
    "\u2190-\u2bff\U0001f000-\U0001faff"
)
"""Scripts and emoji in which a zero-width (non-)joiner is significant."""

_NEVER_SEEN = (
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5"
    "\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
)
_SELECTORS = "\U000e0100-\U000e01ef"
_TAGS_AND_UNUSED = "\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
_MONGOLIAN_SELECTORS = "\u180b-\u180f"
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"

INVISIBLE = re.compile(
    "(\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,8}\U000e007f)"
    f"|[{_NEVER_SEEN}{_TAGS_AND_UNUSED}]"
    f"|(?<![\u1820-\u18aa])[{_MONGOLIAN_SELECTORS}]|(?<![{_HAN}])[{_SELECTORS}]"
)
"""Invisible characters. Group 1 matches flag sequences, which consist of tag characters and stay.
Variation selectors stay after Han and Mongolian characters, one per character."""

MAY_BE_INVISIBLE = re.compile(
    f"[{_NEVER_SEEN}{_MONGOLIAN_SELECTORS}\u200c\u200d\U000e0000-\U000e0fff]"
)
"""Cheap precondition of `without_invisible`."""

_JOINER = re.compile("[\u200c\u200d]")
_STRAY_JOINER = re.compile(f"(?<![{_JOINING}])[\u200c\u200d]|[\u200c\u200d](?![{_JOINING}])")
LINE_BREAK = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
BLANKS = "[ \t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]"
# Possessive, and anchored at the first blank of a run, so that long runs take linear time.
_BLANK_RUN = re.compile(
    f"{BLANKS}(?<=[^\n \t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]{BLANKS}){BLANKS}++"
)
_LINE_END_BLANKS = re.compile(f"{BLANKS}(?<!{BLANKS}{{2}}){BLANKS}*+(?=\n|\\Z)")

_FENCE = "```"
_JOINER_ROUNDS = 3
_LONG_RUN = 64
"""Combining marks in a row that no script uses."""

Form = Literal["NFC", "NFKC"]
_DECOMPOSED: dict[Form, Literal["NFD", "NFKD"]] = {"NFC": "NFD", "NFKC": "NFKD"}


def normalise(text: str) -> str:
    """Normalise a training text; idempotent.

    Unicode NFC; no control, bidirectional and zero-width characters (joiners stay where a script or
    emoji needs them); line feeds as line breaks; single spaces except in fenced code; no trailing
    blanks.
    """
    text = without_invisible(in_form("NFC", LINE_BREAK.sub("\n", text)))
    return with_tidy_spaces(text)


def with_tidy_spaces(text: str) -> str:
    """Collapse spaces and trim line ends; fenced Markdown code stays."""
    text = text.strip()
    parts = text.split(_FENCE)
    parts[::2] = [_BLANK_RUN.sub(" ", part) for part in parts[::2]]
    return _LINE_END_BLANKS.sub("", _FENCE.join(parts)).strip()


def without_invisible(text: str) -> str:
    """Remove invisible characters, then compose new neighbours (NFC)."""
    seen = INVISIBLE.sub(r"\1", text)
    if seen != text:
        text = in_form("NFC", seen)
    # Removing a joiner can reorder marks and make another joiner stray.
    for _ in range(_JOINER_ROUNDS):
        joined = _STRAY_JOINER.sub("", text)
        if joined == text:
            return text
        text = in_form("NFC", joined)
    # Only adversarial texts need more rounds.
    return in_form("NFC", _JOINER.sub("", text))


def in_form(form: Form, text: str) -> str:
    """As `unicodedata.normalize`, but in linear time.

    CPython sorts runs of combining marks by insertion, which is quadratic; long runs are sorted
    here
    first.
    """
    if not text.isascii() and len(text) >= _LONG_RUN:
        text = _long_runs(form).sub(lambda run: _sorted_marks(form, run.group()), text)
    return unicodedata.normalize(form, text)


def _sorted_marks(form: Form, run: str) -> str:
    single = (unicodedata.normalize(_DECOMPOSED[form], mark) for mark in run)
    return "".join(sorted("".join(single), key=unicodedata.combining))


@cache
def _long_runs(form: Form) -> re.Pattern[str]:
    """Pattern of long runs of combining marks; compiled on first use in about 50 ms."""
    marks = [
        mark
        for mark in map(chr, range(0x300, 0x1F000))
        if all(map(unicodedata.combining, unicodedata.normalize(_DECOMPOSED[form], mark)))
    ]
    return re.compile(f"[{''.join(marks)}]{{{_LONG_RUN},}}")


def comparison_key(text: str) -> str:
    """Key under which texts that look alike are equal.

    Compatibility forms and case are folded, and white space is collapsed. For comparison only.
    """
    folded = in_form("NFKC", in_form("NFKC", text).casefold())
    return " ".join(folded.split())
