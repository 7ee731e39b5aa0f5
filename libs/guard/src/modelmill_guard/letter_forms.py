"""Latin letters in other forms, told by their names in Unicode: with a hook or stroke, small
capitals, in a circle, square or parentheses, and the letters of which flags are made.

Compatibility decomposition undoes many forms, but none of these.
"""

import re
import unicodedata

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
    """The plain letter that is drawn so; empty for what only stretches a word; None for others."""
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
