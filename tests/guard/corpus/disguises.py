"""Ways to write a word so that a reader, or a model, still reads it; by class."""

import re
from collections.abc import Callable, Iterable, Mapping
from random import Random

from tests.guard.corpus import alphabets
from tests.guard.corpus.words import CHINESE, ENGLISH, Word

Disguise = Callable[[Word, Random], str | None]
"""The word as the class writes it; None when the class cannot write this word."""


def _mapped(random: Random, text: str, letters: Mapping[str, str], share: float = 1.0) -> str:
    """Each character, with such a probability, as one that `letters` has for it."""
    return "".join(
        random.choice(letters[character])
        if character in letters and random.random() < share
        else character
        for character in text
    )


def _changed(before: str, after: str) -> str | None:
    return after if after != before else None


def plain(word: Word, random: Random) -> str | None:
    return word.text


def case(word: Word, random: Random) -> str | None:
    ways = (word.text.upper(), word.text.title(), _mapped(random, word.text, _UPPER, 0.5))
    return _changed(word.text, random.choice(ways))


_UPPER = {chr(code): chr(code - 32) for code in range(ord("a"), ord("z") + 1)}


def full_width(word: Word, random: Random) -> str | None:
    share = random.choice((1.0, 0.6))
    return _changed(word.text, _mapped(random, word.text, alphabets.FULL_WIDTH, share))


def _of_one(choices: Iterable[Mapping[str, str]]) -> Disguise:
    tables = tuple(choices)

    def disguise(word: Word, random: Random) -> str | None:
        return _changed(word.text, _mapped(random, word.text, random.choice(tables)))

    return disguise


def _after_each(marks: str | tuple[str, ...], share: float) -> Disguise:
    """Marks behind characters, the last one left out: what follows a word is no part of it."""

    def disguise(word: Word, random: Random) -> str | None:
        parts = [
            character + (random.choice(marks) if random.random() < share else "")
            for character in word.text[:-1]
        ]
        return _changed(word.text, "".join([*parts, word.text[-1]]))

    return disguise


def combining(word: Word, random: Random) -> str | None:
    marks = alphabets.COMBINING
    count = random.choice((1, 1, 2, 5))
    return "".join(
        character + "".join(random.choices(marks, k=count))
        if not character.isspace()
        else character
        for character in word.text
    )


def confusable(word: Word, random: Random) -> str | None:
    share = random.choice((0.3, 0.6, 1.0))
    return _changed(word.text, _mapped(random, word.text, alphabets.CONFUSABLES, share))


def tag_spelt(word: Word, random: Random) -> str | None:
    """The whole word in characters that nobody sees, and that models read."""
    if not word.text.isascii():
        return None
    return "".join(alphabets.TAGS[ord(character) - 0x20] for character in word.text)


def spacing(word: Word, random: Random) -> str | None:
    between = random.choice((" ", " ", " ", "  ", "\u00a0", "\n"))
    if word.is_code:
        return None
    return between.join(word.text.replace(" ", random.choice(("", "  "))))


def punctuation(word: Word, random: Random) -> str | None:
    marks = alphabets.SEPARATORS if word.language == ENGLISH else alphabets.CHINESE_SEPARATORS
    if word.is_code:
        return None
    return random.choice(marks).join(word.text.replace(" ", ""))


def leetspeak(word: Word, random: Random) -> str | None:
    share = random.choice((0.5, 1.0))
    if word.is_code:
        return None
    return _changed(word.text, _mapped(random, word.text, alphabets.LEET, share))


def white_space(word: Word, random: Random) -> str | None:
    """More or other space between the words of a phrase."""
    if " " not in word.text:
        return None
    return re.sub(" ", lambda _: random.choice(alphabets.SPACES), word.text)


def traditional(word: Word, random: Random) -> str | None:
    """Traditional characters for simplified ones, or the other way round."""
    other = alphabets.SIMPLIFIED if word.rule == "zh-lamp" else alphabets.TRADITIONAL
    return _changed(word.text, word.text.translate(other))


def pinyin(word: Word, random: Random) -> str | None:
    if word.is_code or any(character not in alphabets.PINYIN for character in word.text):
        return None
    syllables = [alphabets.PINYIN[character] for character in word.text]
    way = random.choice(("plain", "plain", "numbered", "marked", "upper", "partly"))
    if way == "numbered":
        return random.choice(("", " ")).join(syllables)
    if way == "marked":
        return random.choice(("", " ")).join(map(_with_tone, syllables))
    letters = [syllable[:-1] for syllable in syllables]
    if way == "partly":
        letters[random.randrange(len(letters))] = ""
        letters = [one or word.text[place] for place, one in enumerate(letters)]
    joined = random.choice(("", " ", "-")).join(letters)
    return joined.upper() if way == "upper" else joined


def _with_tone(syllable: str) -> str:
    """ "hua1" as "huā": the mark stands on a or e, on the o of ou, else on the last vowel."""
    letters, tone = syllable[:-1], int(syllable[-1])
    vowels = [letter for letter in letters if letter in alphabets.TONES]
    first = [vowel for vowel in vowels if vowel in "ae"] or (["o"] if "ou" in letters else [])
    marked = (first or vowels[-1:])[0]
    return letters.replace(marked, alphabets.TONES[marked][tone - 1])


def split(word: Word, random: Random) -> str | None:
    """Characters taken apart."""
    return _changed(word.text, word.text.translate(str.maketrans(alphabets.PARTS)))


_THINLY = _after_each(alphabets.ZERO_WIDTH, 0.5)
_LAYERS: dict[str, tuple[tuple[Disguise, ...], tuple[Disguise, ...]]] = {
    ENGLISH: (
        (case, confusable, leetspeak, full_width),
        (_THINLY, combining, spacing, punctuation, _after_each(alphabets.SOFT_HYPHEN, 0.5)),
    ),
    CHINESE: (
        (traditional, pinyin, split),
        (_THINLY, spacing, punctuation, _after_each(alphabets.TAGS, 0.7)),
    ),
}
"""What is done first, and what on top of it."""


def mixed(word: Word, random: Random) -> str | None:
    """One way on top of another."""
    first, second = (random.choice(layer) for layer in _LAYERS[word.language])
    once = first(word, random)
    if once is None:
        return None
    twice = second(Word(once, word.language, word.rule, word.is_code), random)
    return None if twice in (None, once) else twice


CLASSES: dict[str, Disguise] = {
    "plain": plain,
    "case": case,
    "full-width": full_width,
    "circled": _of_one(alphabets.CIRCLED),
    "squared": _of_one(alphabets.SQUARED),
    "mathematical": _of_one(alphabets.MATHEMATICAL),
    "combining": combining,
    "zero-width": _after_each(alphabets.ZERO_WIDTH, 0.7),
    "soft-hyphen": _after_each(alphabets.SOFT_HYPHEN, 0.6),
    "confusable": confusable,
    "tag": _after_each(alphabets.TAGS, 0.7),
    "tag-spelt": tag_spelt,
    "spacing": spacing,
    "punctuation": punctuation,
    "white-space": white_space,
    "leetspeak": leetspeak,
    "traditional": traditional,
    "pinyin": pinyin,
    "split": split,
    "mixed": mixed,
}
ONLY: dict[str, str] = {
    "traditional": CHINESE,
    "pinyin": CHINESE,
    "split": CHINESE,
    "leetspeak": ENGLISH,
    "circled": ENGLISH,
    "squared": ENGLISH,
    "confusable": ENGLISH,
    "white-space": ENGLISH,
    "tag-spelt": ENGLISH,
}
"""Classes of one language."""
