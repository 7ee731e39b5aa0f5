"""The shadow copy on which rules match: the text as a reader sees it, without its disguises.

Each character is mapped by itself (compatibility decomposition, case folding, invisible characters
and combining marks dropped, digits to ASCII, look-alikes to what they pass for, traditional Chinese
to simplified) and runs of white space become one space.
The copy of a prefix is therefore a prefix of the copy, and every shadow character knows which
character of the original it came from. The original is never altered.
"""

import unicodedata

from guard.shown_as import lookalikes, simplified

_DROPPED_CATEGORIES = frozenset({"Cf", "Mn", "Me"})
_DROPPED_CHARACTERS = frozenset("\u115f\u1160\u3164\uffa0\u2065") | frozenset(
    map(chr, range(0xFFF0, 0xFFF9))
)
"""Invisible, but letters or unassigned to Unicode: Hangul fillers and default ignorables."""
_TAG_BLOCK = range(0xE0000, 0xE1000)
_BLANKS = frozenset("\u2800")
"""Drawn as a blank, though no white space to Unicode: the empty Braille pattern."""

_BOXED_A = (0x1F150, 0x1F170)
"""Negative circled and negative squared A; neither alphabet decomposes to letters."""

_HAN = range(0x4E00, 0xA000)
"""No character of the main block decomposes."""
_MOST_DECOMPOSED = 6
"""An honorific phrase of eighteen letters in one character would make a text cost as many times."""

_CACHE_LIMIT = 65_536


class _ShadowTable(dict[str, str]):
    """Shadow of each character, computed when first met; bounded, as texts choose the keys."""

    def __missing__(self, character: str) -> str:
        shadow = _shadow_of(character)
        if len(self) < _CACHE_LIMIT:
            self[character] = shadow
        return shadow


def _shadow_of(character: str) -> str:
    code = ord(character)
    if code in _HAN:
        return _shown(character)
    if unicodedata.category(character) in ("Cn", "Co"):  # nothing to decompose or fold
        return _plain(character)
    folded = unicodedata.normalize("NFKD", character).casefold()
    decomposed = unicodedata.normalize("NFKD", folded)
    if len(decomposed) > _MOST_DECOMPOSED:
        return character
    return _shown("".join(map(_plain, decomposed)))


def _shown(plain: str) -> str:
    # A look-alike may be traditional, and a simplified character the look-alike of another.
    return plain.translate(simplified()).translate(lookalikes()).translate(simplified())


def _plain(character: str) -> str:
    code = ord(character)
    category = unicodedata.category(character)
    if character.isspace() or character in _BLANKS:
        return " "
    if category in _DROPPED_CATEGORIES or character in _DROPPED_CHARACTERS or code in _TAG_BLOCK:
        return ""
    if category == "Cc":
        return ""
    if category == "Cs":  # half a pair: cannot be encoded, so no rule can name it
        return "\ufffd"
    if category == "Nd":  # a digit of any script is what it counts
        return str(unicodedata.decimal(character))
    for first in _BOXED_A:
        if first <= code < first + 26:
            return chr(ord("a") + code - first)
    return character


_TABLE = _ShadowTable()


def normalise(text: str) -> str:
    """The shadow copy of a whole text."""
    window = ShadowWindow()
    window.append(text)
    return window.text


_UNSPACED_SCRIPTS = (
    range(0x0E00, 0x1000),  # Thai, Lao, Tibetan
    range(0x1000, 0x10A0),  # Burmese
    range(0x1100, 0x1200),  # Hangul letters, to which syllables decompose
    range(0x1780, 0x1800),  # Khmer
    range(0x2E80, 0x3300),  # radicals, Kana, Bopomofo
    range(0x3400, 0xA000),  # Han
    range(0xF900, 0xFB00),
    range(0x1AFF0, 0x1B170),
    range(0x20000, 0x40000),
)


def is_word_character(shadow: str) -> bool:
    """Whether a shadow character is part of a word that spaces or punctuation would end.

    False for Chinese, Japanese, Korean and other scripts in which words may touch.
    """
    if shadow.isascii():
        return shadow.isalnum() or shadow == "_"
    code = ord(shadow)
    return shadow.isalnum() and not any(code in script for script in _UNSPACED_SCRIPTS)


class ShadowWindow:
    """The part of a growing text's shadow that rules may still need.

    Positions are counted in shadow characters from the start of the whole text.
    """

    def __init__(self) -> None:
        self.text = ""
        self.start = 0
        """Position of `text[0]`."""
        self.end = 0
        """One past the last position."""
        self.original_length = 0
        """Characters of the original text seen so far."""
        self._origins: list[int] = []
        """For each character of `text`, the index in the original that it came from."""
        self._after_space = False
        self._encoded: bytes | None = b""

    def append(self, original: str) -> None:
        """Take the next piece of the original, cut anywhere."""
        first = self.original_length
        self.original_length += len(original)
        if (
            original.isascii()
            and original.isprintable()
            and "  " not in original
            and not (self._after_space and original[:1] == " ")
        ):
            shadow = original.lower()
            self._origins.extend(range(first, self.original_length))
        else:
            shadow = self._append_slowly(original, first)
        if shadow:
            self._encoded = None
            self.text += shadow
            self.end += len(shadow)
            self._after_space = shadow[-1] == " "

    def _append_slowly(self, original: str, first: int) -> str:
        kept: list[str] = []
        after_space = self._after_space
        for index, character in enumerate(original, first):
            for shadow in _TABLE[character]:
                if shadow == " " and after_space:
                    continue
                after_space = shadow == " "
                kept.append(shadow)
                self._origins.append(index)
        return "".join(kept)

    def encoded(self) -> bytes:
        """The window's text in UTF-8; as long as the text when that is ASCII."""
        if self._encoded is None:
            self._encoded = self.text.encode()
        return self._encoded

    def character(self, position: int) -> str:
        """The shadow character at a position inside the window."""
        return self.text[position - self.start]

    def between(self, start: int, end: int) -> str:
        """The shadow from `start` to before `end`."""
        return self.text[start - self.start : end - self.start]

    def original_start(self, position: int) -> int:
        """Index in the original of the character at `position`; at the end, the length so far."""
        if position == self.end:
            return self.original_length
        return self._origins[position - self.start]

    def original_end(self, position: int) -> int | None:
        """One past the original character before `position`, with what belongs to it.

        Marks and invisible characters belong to the character they follow.

        Returns:
            None when the text ends first: what is still to come may belong to it.
        """
        origins = self._origins
        local = position - self.start
        last = origins[local - 1]
        for index in range(local, len(origins)):
            if origins[index] > last:
                return origins[index]
        return None

    def drop_before(self, position: int) -> None:
        """Forget what lies before `position`."""
        count = position - self.start
        if count > 0:
            self._encoded = None
            self.text = self.text[count:]
            del self._origins[:count]
            self.start = position
