"""What single characters are shown as: look-alikes of other scripts and traditional characters.

The tables are data that `libs/guard/tools/make_tables.py` makes from Unicode's UTS 39 and from
OpenCC. Each line has what is shown, a tab and the characters shown as it.
"""

from functools import cache
from importlib.resources import files

_OWN_LOOKALIKES = {
    **dict(zip("авсԁеҽһніјкӏмпоԛрѕтуѵԝхүґ", "abcdeehhijklmnoqpstyvwxyr", strict=True)),  # Cyrillic
    **dict(zip("αβεηικνορτυχγω", "abenikvoptuxyw", strict=True)),  # Greek
    **dict(zip("ıɑɡɩʋøłđħ", "iagivoldh", strict=True)),  # Latin letters that do not decompose
    **dict(zip("ⲓⲉ", "ie", strict=True)),  # Coptic
}
"""Closer to how letters are used as disguises than UTS 39, which asks what two glyphs share."""
_OWN_CAPITALS = dict(zip("ΗΝΥ", "hny", strict=True))
"""Greek capitals that pass for another letter than the small ones do."""


@cache
def lookalikes() -> dict[int, str]:
    """For `str.translate`, after folding: letters and signs that pass for others."""
    own = {ord(letter): shown for letter, shown in _OWN_LOOKALIKES.items()}
    published = _read("lookalikes.txt")
    return {letter: shown.translate(own) for letter, shown in published.items()} | own


@cache
def capital_lookalikes() -> dict[int, str]:
    """For `str.translate`, before folding."""
    return {ord(letter): shown for letter, shown in _OWN_CAPITALS.items()}


@cache
def readings() -> dict[int, list[tuple[str, str]]]:
    """Pinyin and tone's number of each common Chinese character, commonest first, at most two."""
    table: dict[int, list[tuple[str, str]]] = {}
    for reading, characters in _lines("pinyin.txt"):
        syllable, tone = reading.lstrip("+")[:-1], reading[-1]
        for character in characters:
            known = table.setdefault(ord(character), [])
            known.insert(len(known) if reading.startswith("+") else 0, (syllable, tone))
    return table


@cache
def parts() -> dict[int, list[str]]:
    """Characters that a reader takes for one: 弓单 for 弹; a slash where they are not side by side,
    an = before what people write all the time."""
    table: dict[int, list[str]] = {}
    for whole, written in _lines("split.txt"):
        table[ord(whole)] = written.split()
    return table


@cache
def simplified() -> dict[int, str]:
    """For `str.translate`: each traditional Chinese character's simplified one."""
    return _read("simplified.txt")


def _read(name: str) -> dict[int, str]:
    table: dict[int, str] = {}
    for shown, sources in _lines(name):
        table.update(dict.fromkeys(map(ord, sources), shown))
    return table


def _lines(name: str) -> list[tuple[str, str]]:
    """The two columns of a table."""
    text = (files("modelmill_guard") / "data" / name).read_text("utf-8")
    lines = (line.partition("\t") for line in text.split("\n"))
    return [(left, right) for left, tab, right in lines if tab]
