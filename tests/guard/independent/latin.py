"""Mechanical disguises of English phrases, one function per class."""

import html
from collections.abc import Callable
from random import Random
from urllib.parse import quote

Disguise = Callable[[str, Random], str]

SMALL_CAPITALS = dict(zip("abcdefghijklmnoprstuvwyz", "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", strict=True))
HOOKS_AND_STROKES = {
    "a": "ⱥąẚ", "b": "ɓƀƃ", "c": "ƈȼ", "d": "ɗđƌ", "e": "ɇęɛ", "f": "ƒ", "g": "ɠǥ", "h": "ɦħ",
    "i": "ɨį", "j": "ɉ", "k": "ƙⱪ", "l": "łƚɫ", "m": "ɱ", "n": "ɲƞ", "o": "øǫ", "p": "ƥᵽ",
    "r": "ɍɽ", "s": "ʂȿ", "t": "ƭŧƫ", "u": "ʉų", "v": "ʋ", "w": "ⱳ", "y": "ƴɏ", "z": "ȥƶ",
}  # fmt: skip
OTHER_SCRIPTS = {
    "a": "аα", "b": "Ьᏼ", "c": "сϲ", "d": "ԁⅾ", "e": "еҽ", "f": "ẝϝ", "g": "ԍց", "h": "һհ",
    "i": "іι", "j": "ј", "k": "кκ", "l": "ӏⅼ", "m": "мⅿ", "n": "ոп", "o": "оοօ", "p": "рρ",
    "r": "гᴦ", "s": "ѕꮪ", "t": "тτ", "u": "սυ", "v": "νѵ", "w": "ԝѡ", "x": "хχ", "y": "уγ",
    "z": "ᴢꮓ",
}  # fmt: skip
LEET = {"a": "4@", "e": "3", "i": "1!", "o": "0", "s": "5$", "t": "7", "b": "8", "g": "9"}
INNER_SEPARATORS = "-._*'~"
COMBINING = "\u0301\u0308\u0323\u0335\u0336\u034f"
TATWEEL = "\u0640"


def underscores(phrase: str, random: Random) -> str:
    """`how_to_make`."""
    return phrase.replace(" ", random.choice(("_", "__")))


def camel_case(phrase: str, random: Random) -> str:
    """`HowToMake` or `howToMake`."""
    joined = "".join(word.capitalize() for word in phrase.split())
    return joined if random.random() < 0.5 else joined[0].lower() + joined[1:]


def tool_name(phrase: str, random: Random) -> str:
    """A function's name around it."""
    head = random.choice(("get", "tool", "run", "fn", "v2"))
    styled = random.choice((underscores, camel_case))(phrase, random)
    if "_" in styled:
        return f"{head}_{styled}"
    return head + styled[0].upper() + styled[1:]


def other_separators(phrase: str, random: Random) -> str:
    """`how/to/make`, with one mark throughout."""
    return phrase.replace(" ", random.choice(("-", ".", "/", "|", "+", "~", "·", ":", "\\", ", ")))


def concatenated(phrase: str, _random: Random) -> str:
    """`howtomake`."""
    return phrase.replace(" ", "")


def separator_in_a_word(phrase: str, random: Random) -> str:
    """`bo-mb`, in the longest word, where people hide it."""
    longest = max(phrase.split(), key=len)
    place = random.randrange(1, len(longest))
    broken = longest[:place] + random.choice(INNER_SEPARATORS) + longest[place:]
    return phrase.replace(longest, broken, 1)


def separator_in_each_word(phrase: str, random: Random) -> str:
    """`ho-w t-o ma-ke`, one mark in each word of more than two letters."""
    words = []
    for word in phrase.split():
        place = random.randrange(1, len(word)) if len(word) > 2 else 0
        mark = random.choice(INNER_SEPARATORS) if place else ""
        words.append(word[:place] + mark + word[place:])
    return " ".join(words)


def small_capitals(phrase: str, _random: Random) -> str:
    """Phonetic small capitals."""
    return "".join(SMALL_CAPITALS.get(letter, letter) for letter in phrase)


def regional_indicators(phrase: str, random: Random) -> str:
    """Letters that flags are made of; a zero-width or thin space keeps them from joining."""
    between = random.choice(("", "\u200b", "\u200c", " "))
    words = [
        between.join(
            chr(0x1F1E6 + ord(letter) - ord("a")) if letter.isalpha() else letter for letter in word
        )
        for word in phrase.split()
    ]
    return ("   " if between == " " else " ").join(words)


def enclosed_letters(phrase: str, random: Random) -> str:
    """Circled, squared, negative circled or parenthesised letters."""
    begin = random.choice((0x24D0, 0x1F130, 0x1F150, 0x1F170, 0x249C))
    return "".join(chr(begin + ord(c) - ord("a")) if c.isalpha() else c for c in phrase)


def hooks_and_strokes(phrase: str, random: Random) -> str:
    """Latin letters with hook, stroke or ogonek, in about half of the places."""
    return _swapped(phrase, HOOKS_AND_STROKES, random, 0.5)


def stretched(phrase: str, random: Random) -> str:
    """Tatweel between letters."""
    marked = []
    for letter in phrase:
        marked.append(letter)
        if letter.isalpha() and random.random() < 0.4:
            marked.append(TATWEEL * random.randint(1, 3))
    return "".join(marked)


def combining_marks(phrase: str, random: Random) -> str:
    """Accents and overlays on letters."""
    return "".join(
        letter + (random.choice(COMBINING) if letter.isalpha() and random.random() < 0.5 else "")
        for letter in phrase
    )


def other_scripts(phrase: str, random: Random) -> str:
    """Letters of Cyrillic, Greek, Armenian and Cherokee that look alike, in half of the places."""
    return _swapped(phrase, OTHER_SCRIPTS, random, 0.5)


def html_entities(phrase: str, random: Random) -> str:
    """Decimal and hexadecimal character references."""
    return "".join(
        random.choice((f"&#{ord(c)};", f"&#x{ord(c):x};", f"&#{ord(c):07d};"))
        if random.random() < 0.6
        else html.escape(c)
        for c in phrase
    )


def percent_escapes(phrase: str, random: Random) -> str:
    """As in a URL; sometimes every byte."""
    if random.random() < 0.5:
        return "".join(f"%{ord(c):02{random.choice('xX')}}" for c in phrase)
    some = "".join(f"%{ord(c):02X}" if random.random() < 0.4 else c for c in phrase)
    return quote(some, safe="%")


def backslash_escapes(phrase: str, random: Random) -> str:
    r"""`\u0062`, `\x62`, or `\u{62}`."""
    form = random.choice(("\\u{:04x}", "\\x{:02x}", "\\u{{{:x}}}", "\\U{:08x}"))
    return "".join(form.format(ord(c)) if random.random() < 0.6 else c for c in phrase)


def leet(phrase: str, random: Random) -> str:
    """Digits and marks for letters, in most places that have one."""
    return _swapped(phrase, LEET, random, 0.7)


def _swapped(phrase: str, table: dict[str, str], random: Random, often: float) -> str:
    places = [place for place, letter in enumerate(phrase) if letter in table]
    forced = random.choice(places)  # at least one, or nothing would be disguised
    return "".join(
        random.choice(table[letter])
        if letter in table and (place == forced or random.random() < often)
        else letter
        for place, letter in enumerate(phrase)
    )


CLASSES: dict[str, Disguise] = {
    "underscores": underscores,
    "camel-case": camel_case,
    "tool-name": tool_name,
    "other-separators": other_separators,
    "concatenated": concatenated,
    "separator-in-a-word": separator_in_a_word,
    "separator-in-each-word": separator_in_each_word,
    "small-capitals": small_capitals,
    "regional-indicators": regional_indicators,
    "enclosed-letters": enclosed_letters,
    "hooks-and-strokes": hooks_and_strokes,
    "tatweel": stretched,
    "combining-marks": combining_marks,
    "other-scripts": other_scripts,
    "html-entities": html_entities,
    "percent-escapes": percent_escapes,
    "backslash-escapes": backslash_escapes,
    "leet": leet,
}
