"""Characters that a text spells by escapes: HTML's `&#98;`, a URL's `%62`, a program's `\\u0062`.

What was escaped twice, as `&amp;#98;` and `%2562` are, is read twice.
"""

import re
import unicodedata
from collections.abc import Sequence
from html import unescape

_HEX = "[0-9a-fA-F]"
_NEXT = f"(?:%[89abAB]{_HEX})"
"""A further byte of a character in UTF-8."""
_LONGEST_NAME = 64
_WAYS = (
    rf"(?P<entity>&(?:#(?:[xX]{_HEX}{{1,8}}|[0-9]{{1,9}})|[A-Za-z][A-Za-z0-9]{{1,31}});?)",
    rf"(?P<unit>%u{_HEX}{{4}})",
    rf"(?P<byte>%[0-7]{_HEX}|%[c-dC-D]{_HEX}{_NEXT}|%[eE]{_HEX}{_NEXT}{{2}}"
    rf"|%[fF][0-4]{_NEXT}{{3}})",
    rf"(?P<pair>\\{{1,4}}u[dD][89abAB]{_HEX}{{2}}\\{{1,4}}u[dD][c-fC-F]{_HEX}{{2}})",
    rf"(?P<code>\\{{1,4}}(?:u{_HEX}{{4}}|u\{{{_HEX}{{1,6}}\}}|x{_HEX}{{2}}|U{_HEX}{{8}}))",
    rf"(?P<name>\\{{1,4}}N\{{[A-Za-z0-9 -]{{1,{_LONGEST_NAME}}}\}})",
    r"(?P<space>\\{1,4}[nrt])",
)
_BEGUN = (
    rf"&(?:#(?:[xX]{_HEX}{{0,8}}|[0-9]{{0,9}})?|[A-Za-z][A-Za-z0-9]{{0,31}})?",
    rf"%(?:u{_HEX}{{0,3}}|{_HEX}?|[c-fC-F]{_HEX}{_NEXT}{{0,2}}(?:%{_HEX}?)?)",
    rf"\\{{1,4}}(?:u(?:{_HEX}{{0,3}}|\{{{_HEX}{{0,6}})|x{_HEX}?|U{_HEX}{{0,7}})?",
    rf"\\{{1,4}}u[dD][89abAB]{_HEX}{{2}}(?:\\{{1,4}}(?:u{_HEX}{{0,3}})?)?",
    rf"\\{{1,4}}N(?:\{{[A-Za-z0-9 -]{{0,{_LONGEST_NAME}}})?",
)
_WHOLE = re.compile("|".join(_WAYS))
_AT_END = rf"(?:{'|'.join(_BEGUN)})\Z"
_PART = re.compile(_AT_END)
_ANY = re.compile(f"{_WHOLE.pattern}|{_AT_END}")
_SURROGATES = range(0xD800, 0xE000)


def may_escape(text: str) -> bool:
    """A quick test that most texts fail."""
    return "%" in text or "\\" in text or "&" in text


def first_escape(text: str) -> int | None:
    """Where one begins, whole or cut off by the text's end."""
    found = _ANY.search(text)
    if found is None:
        return None
    # What stands before may be the beginning of one that goes on with what this one spells.
    before = _PART.search(text, max(0, found.start() - 2 * _LONGEST_NAME), found.start())
    return (before or found).start()


class Unescape:
    """Reads a growing text once; what an escape spells takes as many characters as the escape."""

    def __init__(self) -> None:
        self._left = ""
        self._lengths: list[int] = []
        """Of each character that is left, how many of the original spell it."""

    @property
    def left(self) -> int:
        """Characters of the original in what may be the beginning of an escape."""
        return sum(self._lengths)

    def read(self, text: str, lengths: Sequence[int], *, finished: bool) -> tuple[str, list[int]]:
        """The characters that are complete, and how many of the original spell each."""
        text, lengths = self._left + text, [*self._lengths, *lengths]
        end = len(text)
        if not finished and may_escape(text):
            found = _PART.search(text, max(0, end - 2 * _LONGEST_NAME))
            end = end if found is None else found.start()
        read, spelled, at = list[str](), list[int](), 0
        for escape in _WHOLE.finditer(text):
            start, stop = escape.span()
            if stop > end:
                # Complete, but it may yet become a longer one.
                end = min(start, end)
                break
            meant = _meant(escape)
            if meant is not None:
                read += (text[at:start], meant)
                spelled += lengths[at:start]
                spelled += [sum(lengths[start:stop]), *[0] * (len(meant) - 1)]
                at = stop
        self._left, self._lengths = text[end:], lengths[end:]
        return "".join([*read, text[at:end]]), [*spelled, *lengths[at:end]]


def _meant(escape: re.Match[str]) -> str | None:
    """What an escape stands for; None when it is none."""
    written, kind = escape.group(), escape.lastgroup
    if kind == "byte":
        try:
            return bytes.fromhex(written.replace("%", "")).decode()
        except UnicodeDecodeError:
            return None
    if kind == "entity":
        meant = unescape(written)
        return meant if meant and meant != written else None
    if kind == "space":
        return " "
    if kind == "name":
        try:
            return unicodedata.lookup(written[written.index("{") + 1 : -1])
        except KeyError:
            return None
    codes = [int(code, 16) for code in re.findall(rf"[uUx]\{{?({_HEX}+)", written)]
    if kind == "pair":
        return chr(0x10000 + ((codes[0] - 0xD800) << 10) + codes[1] - 0xDC00)
    return chr(codes[0]) if codes[0] < 0x110000 and codes[0] not in _SURROGATES else None
