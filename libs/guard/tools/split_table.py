"""Characters written as the parts that they are made of, from a table of how all are composed.

A line of the table is `whole:how(part,part)`: `a` is side by side, `d` one above the other, `ra`
and `rd` the same part twice, `s` with letters one around the other. Ways of writing are those of a
simplified character, with the full form of the part at its left, and of its traditional character.
Parts that do not lie side by side have a slash between them; a way that people write all the time
(女子 for 好) begins with an =.
"""

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping

_BESIDE, _ABOVE, _BELOW_LEFT = "a", "d", "sbl"
_AROUND = frozenset(("s", "st", "sb", "sl", "stl", "str", _BELOW_LEFT))
_MOST_WAYS = 4
_AS_TYPED = {"卄": "艹", "⺙": "攵", "⻊": "足", "朩": "木", "龵": "手", "⺍": "小", "⺮": "竹"}
"""Parts that no keyboard has, as those that it has."""
_FULL = dict(zip("扌讠氵亻忄钅犭礻衤饣纟刂", "手言水人心金犬示衣食丝刀", strict=True))
_STROKES = frozenset("一丨丶丿乙亅")
_BY_HAND = {
    "劲": "巠力", "朝": "十早月", "炼": "火东", "练": "纟东", "脑": "月㐫", "解": "角刀牛",
}  # fmt: skip
"""What readers take them for, where the table has parts that are no characters."""


def is_common(character: str) -> bool:
    """Whether GB 2312 has it."""
    try:
        return len(character.encode("gb2312")) == 2
    except UnicodeEncodeError:
        return False


def split_table(
    decomposition: str, simplified: Mapping[str, str], words: Container[str]
) -> dict[str, list[str]]:
    """The ways to write each common character in parts.

    Args:
        decomposition: the table.
        simplified: of each traditional character, the one that stands for it now.
        words: what is met in any text, as 女子.
    """
    composed = dict(line.split(":", 1) for line in decomposition.splitlines() if ":" in line)
    traditional: dict[str, list[str]] = defaultdict(list)
    for source, target in simplified.items():
        traditional[target].append(source)
    table: dict[str, list[str]] = {}
    for whole in filter(is_common, composed):
        if whole not in simplified:
            ways: dict[str, str] = {}
            for source in (whole, *traditional[whole]):
                for way in _ways(source, composed):
                    shown = "".join(simplified.get(part, part) for part in way)
                    written = shown.replace("/", "")
                    ways.setdefault(written, f"={shown}" if written in words else shown)
            if ways:
                table[whole] = list(ways.values())[:_MOST_WAYS]
    return table


def _ways(whole: str, composed: Mapping[str, str]) -> Iterator[str]:
    parts, between = list(_BY_HAND.get(whole, "")), ""
    if not parts:
        how, _, listed = composed.get(whole, "").rstrip(")").partition("(")
        how = how.partition("/")[0]
        parts = [_AS_TYPED.get(part, part) for part in listed.split(",")]
        if how.startswith("r"):
            how, parts = how[1:], parts * 2
        if how not in (_BESIDE, _ABOVE, *_AROUND) or not all(map(_is_typed, parts)):
            return
        between = "" if how == _BESIDE else "/"
        if how == _ABOVE and not _STROKES.isdisjoint(parts):
            return
        if how == _BELOW_LEFT:
            yield between.join(reversed(parts))
    yield between.join(parts)
    full = [_FULL.get(part, part) for part in parts]
    if full != parts:
        yield between.join(full)


def _is_typed(part: str) -> bool:
    return len(part) == 1 and ("\u2e80" <= part < "\u2fe0" or "\u3400" <= part < "\ua000")
