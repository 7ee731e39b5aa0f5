"""The written form of a text: what is tidied for training, and what only when comparing.

Training text keeps its letters, case, width, punctuation and line breaks. What goes is what a
reader cannot see: control and zero-width characters, the second of two spaces in a row, blanks
around lines and texts. A line keeps its indentation, which means something in code and lists.

No text, whatever it is made of, costs more than a time that grows with its length.
"""

import re
import unicodedata
from functools import cache
from typing import Literal

_JOINING = (
    "\u0590-\u08ff\u0900-\u0dff\u0e00-\u109f\u1780-\u18af\ufb1d-\ufdff\ufe0f\ufe70-\ufefc"
    "\u2190-\u2bff\U0001f000-\U0001faff"
)
"""Scripts and emoji in which a zero-width joiner or non-joiner changes what a reader sees."""

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
"""What nobody sees, and flags of regions in the first group, whose letters are such characters.
Variants of Han and Mongolian characters are seen: their selectors stay, one a character."""

MAY_BE_INVISIBLE = re.compile(
    f"[{_NEVER_SEEN}{_MONGOLIAN_SELECTORS}\u200c\u200d\U000e0000-\U000e0fff]"
)
"""Is in every text that `without_invisible` changes. One range of all above: each costs time."""

_JOINER = re.compile("[\u200c\u200d]")
_STRAY_JOINER = re.compile(f"(?<![{_JOINING}])[\u200c\u200d]|[\u200c\u200d](?![{_JOINING}])")
LINE_BREAK = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
BLANKS = "[ \t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]"
# Both match from the first blank of a run alone and never go back: a run may be very long. Looking
# back behind it, not before it, lets the search skip what is no blank.
_BLANK_RUN = re.compile(
    f"{BLANKS}(?<=[^\n \t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]{BLANKS}){BLANKS}++"
)
_LINE_END_BLANKS = re.compile(f"{BLANKS}(?<!{BLANKS}{{2}}){BLANKS}*+(?=\n|\\Z)")

_FENCE = "```"
_JOINER_ROUNDS = 3
_LONG_RUN = 64
"""Marks in a row, more than any script puts on a letter."""

Form = Literal["NFC", "NFKC"]
_DECOMPOSED: dict[Form, Literal["NFD", "NFKD"]] = {"NFC": "NFD", "NFKC": "NFKD"}


def normalise(text: str) -> str:
    """`text` as it is trained on; doing it twice changes nothing.

    Unicode NFC; control, bidirectional and zero-width characters dropped (joiners stay where a
    script or an emoji needs them); all line breaks as a line feed; a run of spaces inside a line
    as one space, but for code between fences; no blanks at line ends and around the text.
    """
    text = without_invisible(in_form("NFC", LINE_BREAK.sub("\n", text)))
    return with_tidy_spaces(text)


def with_tidy_spaces(text: str) -> str:
    """`text` with one blank where several are inside a line, and none at the ends of lines.

    Between Markdown's fences, where code and drawings stand, the runs stay as they are.
    """
    text = text.strip()
    parts = text.split(_FENCE)
    parts[::2] = [_BLANK_RUN.sub(" ", part) for part in parts[::2]]
    return _LINE_END_BLANKS.sub("", _FENCE.join(parts)).strip()


def without_invisible(text: str) -> str:
    """`text` without what a reader cannot see; what becomes neighbours is composed (NFC)."""
    seen = INVISIBLE.sub(r"\1", text)
    if seen != text:
        text = in_form("NFC", seen)
    # Without a joiner marks may change places, and another joiner its neighbour.
    for _ in range(_JOINER_ROUNDS):
        joined = _STRAY_JOINER.sub("", text)
        if joined == text:
            return text
        text = in_form("NFC", joined)
    # What needs more rounds was made to need them.
    return in_form("NFC", _JOINER.sub("", text))


def in_form(form: Form, text: str) -> str:
    """As `unicodedata.normalize`, in a time that grows with the text, not with its square.

    That sorts marks by moving each past the others of its run; here a long run is sorted before.
    """
    if not text.isascii() and len(text) >= _LONG_RUN:
        text = _long_runs(form).sub(lambda run: _sorted_marks(form, run.group()), text)
    return unicodedata.normalize(form, text)


def _sorted_marks(form: Form, run: str) -> str:
    single = (unicodedata.normalize(_DECOMPOSED[form], mark) for mark in run)
    return "".join(sorted("".join(single), key=unicodedata.combining))


@cache
def _long_runs(form: Form) -> re.Pattern[str]:
    """Finds long runs of what consists of marks; made at the first use, some 50 ms."""
    marks = [
        mark
        for mark in map(chr, range(0x300, 0x1F000))
        if all(map(unicodedata.combining, unicodedata.normalize(_DECOMPOSED[form], mark)))
    ]
    return re.compile(f"[{''.join(marks)}]{{{_LONG_RUN},}}")


def comparison_key(text: str) -> str:
    """What two texts that a reader takes for the same have in common.

    Compatibility forms (full-width letters, ligatures) folded, case folded, all white space one
    space. For comparing only: it is never trained on.
    """
    folded = in_form("NFKC", in_form("NFKC", text).casefold())
    return " ".join(folded.split())
