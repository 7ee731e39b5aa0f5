"""Text normalisation for matching: the shadow copy, which shows a text without disguises.

Each character is mapped by itself (compatibility decomposition, case folding, invisible characters
and combining marks dropped, digits to ASCII, look-alikes to what they pass for, traditional Chinese
to simplified) and runs of white space become one space.
The copy of a prefix is therefore a prefix of the copy, and every shadow character knows which
character of the original it came from. The original is never altered.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from copy import copy
from itertools import islice
from string import ascii_uppercase

from modelmill_guard.shown_as import capital_lookalikes, lookalikes, simplified

_OTHER_BASES = {
    **{"OPEN E": "e", "REVERSED E": "e", "TURNED E": "e", "SCHWA": "e", "OPEN O": "o"},
    **{"ENG": "n", "EZH": "z", "UPSILON": "u", "ETH": "d", "SCRIPT G": "g", "ALPHA": "a"},
    **{"IOTA": "i", "DOTLESS I": "i", "DOTLESS J": "j", "KRA": "k"},
    "TURNED W": "m",
}
"""Letters that have names of their own and are drawn much as another."""
_FORM = re.compile(
    r"(?:[A-Z -]*(?:PARENTHESIZED|CIRCLED|SQUARED|TORTOISE SHELL BRACKETED) )?"
    r"LATIN (?:LETTER SMALL CAPITAL|(?:SMALL|CAPITAL) LETTER) "
    rf"(?:([A-Z])|({'|'.join(_OTHER_BASES)}))(?: WITH [A-Z -]*)?"
)
_FLAG_LETTERS = range(0x1F1E6, 0x1F200)
_STRETCHES = frozenset("\u0640\u07fa\u180a\u02c7\u02c9")
"""Letters to Unicode that are none: what lengthens the line between two, as tatweel (kashida) does,
and marks of tone behind a syllable."""
_ANY_CASE = frozenset(("Lu", "Ll", "Lo", "So"))


def latin_form(character: str) -> str | None:
    """The plain letter that is drawn so; empty for what only stretches a word; None for others.

    Compatibility decomposition undoes many forms, but none of these.
    """
    if character in _STRETCHES:
        return ""
    if ord(character) in _FLAG_LETTERS:
        return chr(ord("a") + ord(character) - _FLAG_LETTERS.start)
    if character.isascii() or unicodedata.category(character) not in _ANY_CASE:
        return None
    form = _FORM.fullmatch(unicodedata.name(character, ""))
    if form is None:
        return None
    return form[1].lower() if form[1] else _OTHER_BASES[form[2]]


_START = re.compile(r"[A-Z](?:(?<=[^\W_A-Z].)|(?<=[A-Z].)(?=[^\W\d_A-Z]|\Z))")


class CamelCase:
    """The places in a growing shadow copy.

    A shadow copy has no case, so this is noted while a text is read. A capital begins a word after
    a small letter or a digit, and where it is the last of several before a small letter. Of
    capitals in a row the last one seen so far may be that: it is noted until the next character
    decides.
    """

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


_DROPPED_CATEGORIES = frozenset({"Cf", "Mn", "Me"})
_DROPPED_CHARACTERS = frozenset("\u115f\u1160\u3164\uffa0\u2065") | frozenset(
    map(chr, range(0xFFF0, 0xFFF9))
)
"""Invisible, but letters or unassigned to Unicode: Hangul fillers and default ignorables."""
_TAG_BLOCK = range(0xE0000, 0xE1000)
_BLANKS = frozenset("\u2800")
"""Drawn as a blank, though no white space to Unicode: the empty Braille pattern."""

_LUNATE_SIGMAS = "\u03f2\u03f9"
"""Fold to the other sigma, which passes for an o; these are drawn as a c."""
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
    if character in _LUNATE_SIGMAS:
        return "c"
    if unicodedata.category(character) in ("Cn", "Co"):  # nothing to decompose or fold
        return _plain(character)
    form = latin_form(character)
    if form is not None:
        return form
    capital = unicodedata.normalize("NFKD", character).translate(capital_lookalikes())
    folded = _formless(capital).casefold()
    decomposed = unicodedata.normalize("NFKD", folded)
    if len(decomposed) > _MOST_DECOMPOSED:
        return character
    return _formless(_shown("".join(map(_plain, decomposed))))


def _formless(text: str) -> str:
    """Both a part of a ligature and what something passes for may be a letter in another form."""
    return "".join(one if (form := latin_form(one)) is None else form for one in text)


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


class _WordCharacters(dict[str, bool]):
    """What `is_word_character` says, remembered; bounded, as texts choose the keys."""

    def __missing__(self, shadow: str) -> bool:
        if shadow.isascii():
            known = shadow.isalnum() or shadow == "_"
        else:
            code = ord(shadow)
            known = shadow.isalnum() and not any(code in script for script in _UNSPACED_SCRIPTS)
        if len(self) < _CACHE_LIMIT:
            self[shadow] = known
        return known


WORD_CHARACTERS = _WordCharacters()


def is_word_character(shadow: str) -> bool:
    """Whether a shadow character is part of a word that spaces or punctuation would end.

    False for Chinese, Japanese, Korean and other scripts in which words may touch.
    """
    return WORD_CHARACTERS[shadow]


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
        self._origins: list[int] | None = None
        """For each character of `text`, the index in the original that it came from; None where
        one came of one."""
        self.camel_case = CamelCase()
        self._after_space = False
        self._encoded: bytes | None = b""

    def append(self, original: str) -> None:
        """Take the next piece of the original, cut anywhere."""
        if original.isascii() and original.isprintable():
            shadow, shown, cased = original.lower(), None, original
        else:
            shown = [_TABLE[character] for character in original]
            shadow = cased = "".join(shown)
            if shadow != original and any(map(str.isupper, original)):
                cased = "".join(map(with_case, original, shown))
        if (
            "  " in shadow
            or (self._after_space and shadow[:1] == " ")
            or (shown is not None and (len(shadow) != len(original) or "" in shown))
        ):
            first = self.original_length
            places = range(first, first + len(original))
            shadow, cased = self._append_slowly(original, places)
        elif self._origins is not None:
            first = self.original_length
            self._origins.extend(range(first, first + len(original)))
        self.original_length += len(original)
        self._grow(shadow, cased)

    def append_spelled(self, meant: str, lengths: Sequence[int]) -> None:
        """Take characters each of which the original spells by so many of its own."""
        if len(meant) == sum(lengths) == sum(map(bool, lengths)):
            self.append(meant)
            return
        places: list[int] = []
        seen = self.original_length
        for length in lengths:
            # What an escape spells with another character begins where that one does.
            places.append(seen if length else places[-1])
            seen += length
        grown = self._append_slowly(meant, places)
        self.original_length = seen
        self._grow(*grown)

    def fork(self) -> "ShadowWindow":
        """A window with the same text that goes on by itself."""
        twin = copy(self)
        twin.camel_case = self.camel_case.fork()
        twin._origins = None if self._origins is None else [*self._origins]
        return twin

    def _grow(self, shadow: str, cased: str) -> None:
        """Add to the text; `cased` has capitals where the original has them."""
        if shadow:
            if cased != shadow or self.camel_case.capitals:
                self.camel_case.read(self.text[-1:], cased, self.end)
            self._encoded = None
            self.text += shadow
            self.end += len(shadow)
            self._after_space = shadow[-1] == " "

    def _append_slowly(self, original: str, places: Sequence[int]) -> tuple[str, str]:
        """By what each character is shown as: not one for one, or with spaces in a row."""
        if self._origins is None:
            self._origins = [*range(self.original_length - len(self.text), self.original_length)]
        kept: list[str] = []
        cased: list[str] = []
        after_space = self._after_space
        for index, character in zip(places, original, strict=False):
            for shadow in _TABLE[character]:
                if shadow == " " and after_space:
                    continue
                after_space = shadow == " "
                kept.append(shadow)
                cased.append(with_case(character, shadow))
                self._origins.append(index)
        return "".join(kept), "".join(cased)

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
        if self._origins is None or position == self.end:
            return self.original_length - self.end + position
        return self._origins[position - self.start]

    def original_end(self, position: int) -> int:
        """One past the original character before `position`, with what belongs to it so far.

        Marks and invisible characters belong to the character they follow.
        """
        origins, local = self._origins, position - self.start
        if origins is None:
            return self.original_length - self.end + position
        last = origins[local - 1]
        for index in range(local, len(origins)):
            if origins[index] > last:
                return origins[index]
        return self.original_length

    def offset(self, position: int) -> int:
        """How many shadow characters before `position` are of the same original one."""
        if self._origins is None or position == self.end:
            return 0
        local = position - self.start
        return local - bisect_left(self._origins, self._origins[local])

    def last_start(self) -> int:
        """Where the last original character that is seen begins: more may belong to it."""
        origins = self._origins
        if not origins:
            return self.end - 1
        return self.start + bisect_left(origins, origins[-1])

    def drop_before(self, position: int) -> None:
        """Forget what lies before `position`."""
        count = position - self.start
        if count > 0:
            self._encoded = None
            self.text = self.text[count:]
            self.start = position
            if self.camel_case.starts:
                self.camel_case.drop_before(position)
            if self._origins is not None:
                del self._origins[:count]
                self._straighten(self._origins)

    def _straighten(self, origins: list[int]) -> None:
        """Once what was not one for one is gone, count on instead of listing."""
        if not origins or (len(origins) == 1 and origins[0] + 1 == self.original_length):
            self._origins = None
