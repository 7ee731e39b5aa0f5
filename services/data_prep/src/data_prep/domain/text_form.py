"""The written form of a text: what is tidied for training, and what only when comparing.

Training text keeps its letters, case, width, punctuation and line breaks. What goes is what a
reader cannot see: control and zero-width characters, the second of two spaces in a row, blanks
around lines and texts. A line keeps its indentation, which means something in code and lists.
"""

import re
import unicodedata

_JOINING = (
    "\u0590-\u08ff\u0900-\u0dff\u0e00-\u109f\u1780-\u18af\ufb1d-\ufdff\ufe0f\ufe70-\ufefc"
    "\u2190-\u2bff\U0001f000-\U0001faff"
)
"""Scripts and emoji in which a zero-width joiner or non-joiner changes what a reader sees."""

INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
    "\U000e0000-\U000e0fff]"
)
STRAY_JOINER = re.compile(f"(?<![{_JOINING}])[\u200c\u200d]|[\u200c\u200d](?![{_JOINING}])")
LINE_BREAK = re.compile("\r\n?|[\x85\u2028\u2029]")
BLANKS = "[ \t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]"
BLANK_RUN = re.compile(f"(?<=[^\n \t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]){BLANKS}{{2,}}")
LINE_END_BLANKS = re.compile(f"{BLANKS}+(?=\n|\\Z)")


def normalise(text: str) -> str:
    """`text` as it is trained on; doing it twice changes nothing.

    Unicode NFC; control, bidirectional and zero-width characters dropped (joiners stay where a
    script or an emoji needs them); all line breaks as a line feed; a run of spaces inside a line
    as one space; no blanks at line ends and around the text.
    """
    text = unicodedata.normalize("NFC", INVISIBLE.sub("", LINE_BREAK.sub("\n", text)))
    # Without a joiner marks may change places, and another joiner its neighbour.
    while text != (joined := unicodedata.normalize("NFC", STRAY_JOINER.sub("", text))):
        text = joined
    return LINE_END_BLANKS.sub("", BLANK_RUN.sub(" ", text)).strip()


def comparison_key(text: str) -> str:
    """What two texts that a reader takes for the same have in common.

    Compatibility forms (full-width letters, ligatures) folded, case folded, all white space one
    space. For comparing only: it is never trained on.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.split())
