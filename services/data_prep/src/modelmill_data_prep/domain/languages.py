"""Language detection by script and function words.

Script decides for Han, kana, Hangul, Cyrillic and Arabic. Cyrillic is ru and Arabic is ar, unless
letters of other languages occur. Languages in Latin script are told apart by function words; a
short text without any counts as English. Other languages are recognised only in longer texts: a
Swedish headline is en, a Swedish page is other.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from modelmill_data_prep.domain.code_points import (
    ARABIC,
    CYRILLIC,
    HAN,
    LATIN,
    LETTERS,
    CharacterClass,
    CodePoints,
)
from modelmill_data_prep.domain.language_names import Language

HAN_SHARE_OF_CHINESE = 0.2
"""Threshold for Chinese; low, because a Han character counts as a word and English names are
frequent."""
KANA_SHARE_OF_JAPANESE = 0.2
"""Threshold of kana among Han and kana; Chinese texts occasionally contain kana."""
VOTING_WORDS = 200
"""Number of leading words that are counted."""
MIN_WORDS_TO_DOUBT = 20
"""Shorter texts, such as titles and lists, may be English without function words."""
FUNCTION_WORDS_OF_ENGLISH = 0.1
"""Minimum share of function words in longer English texts; a third is typical."""

FUNCTION_WORDS: Mapping[Language, str] = {
    "en": "the of and to that is was for it with as his her he she be by at this have from not are "
    "but they which you were or had we there been an in on a i my your their its has will would "
    "can if what who when all one so out up about into than them then no do did these some",
    "de": "der die das und ist nicht ein eine einen den dem des zu von mit auf für sich auch es "
    "ich wir sie er war wird sind oder aber wie bei nach noch nur über durch mich dass zum zur",
    "fr": "le la les des et est une dans que qui pour pas sur plus par avec ce cette il elle nous "
    "vous je ne sont au aux du mais ou où leur être fait très aussi ont était sans même",
    "es": "el la los las y es una que en por con para no se su del lo como más pero sus le ya este "
    "esta son entre cuando muy sin sobre también hay está fue ser desde todo nos ha",
    "it": "il lo la gli le e è una che di per non con si del della dei nel sono come più anche ma "
    "questo questa ci alla dal delle ha molto era essere stato nella perché io mi",
    "pt": "o os as e é uma que em para não com do da dos das no na por mais como mas foi ao ele "
    "ela seu sua ou ser quando muito há nos já está também só pelo pela são você",
    "nl": "het een en van is dat die niet te zijn op aan met voor er maar om hem dan zou wat mijn "
    "ik je bij ook uit naar heeft hebben worden wordt nog deze door over wij zij geen",
}


def languages_of(texts: Sequence[str], points: CodePoints | None = None) -> list[Language]:
    """Language of each text; "other" without letters.


    Args:
        points: Code points of the texts, if already computed.
    """
    found = _by_script(points or CodePoints(texts))
    return [
        _of_latin(text) if language == "en" else language
        for text, language in zip(texts, found, strict=True)
    ]


def language_of(text: str) -> Language:
    """Language of one text; batches are a hundred times faster."""
    return languages_of([text])[0]


def is_variant(points: CodePoints, variant: str) -> NDArray[np.bool_]:
    """Mask of texts with at least as many characters of this variant as of the other."""
    simplified = points.count((CharacterClass.HAN_SIMPLIFIED,))
    traditional = points.count((CharacterClass.HAN_TRADITIONAL,))
    return simplified >= traditional if variant == "zh-hans" else traditional >= simplified


def _by_script(points: CodePoints) -> list[Language]:
    letters, han, kana = (
        points.count(LETTERS),
        points.count(HAN),
        points.count((CharacterClass.KANA,)),
    )
    cyrillic, arabic = points.count(CYRILLIC), points.count(ARABIC)
    not_russian = points.count((CharacterClass.CYRILLIC_NOT_RUSSIAN,))
    not_arabic = points.count((CharacterClass.ARABIC_NOT_ARABIC,))
    choices: list[tuple[NDArray[np.bool_], Language]] = [
        (letters == 0, "other"),
        (
            (kana > KANA_SHARE_OF_JAPANESE * (han + kana))
            & (han + kana >= HAN_SHARE_OF_CHINESE * letters),
            "ja",
        ),
        (han >= HAN_SHARE_OF_CHINESE * letters, "zh"),
        (2 * points.count((CharacterClass.HANGUL,)) >= letters, "ko"),
        ((2 * cyrillic >= letters) & (not_russian == 0), "ru"),
        ((2 * arabic >= letters) & (not_arabic == 0), "ar"),
        (2 * points.count(LATIN) >= letters, "en"),
    ]
    places = np.select([where for where, _ in choices], list(range(len(choices))), 0)
    return [choices[place][1] for place in places.tolist()]


def _of_latin(text: str) -> Language:
    """Distinguish languages in Latin script; en by default."""
    words = text[: 20 * VOTING_WORDS].lower().split(maxsplit=VOTING_WORDS)[:VOTING_WORDS]
    english = sum(map(_words_of_english_alone().__contains__, words))
    foreign = sum(map(_foreign_words().__contains__, words))
    if english >= foreign and _may_be_english(english, words):
        return "en"
    votes = Counter(
        language
        for word in words
        for language in _languages_of_word().get(word.strip(",.;:!?\"'()"), ())
    )
    # Ties go to the first language in the table.
    best = max(FUNCTION_WORDS, key=lambda language: votes[language])
    if votes[best] >= 2 and votes[best] > votes["en"]:
        return best
    return "en" if _may_be_english(votes["en"], words) else "other"


def _may_be_english(votes: int, words: Sequence[str]) -> bool:
    return len(words) < MIN_WORDS_TO_DOUBT or votes >= FUNCTION_WORDS_OF_ENGLISH * len(words)


@cache
def all_function_words() -> frozenset[str]:
    """Function words of all languages in Latin script."""
    return frozenset(_languages_of_word())


@cache
def _languages_of_word() -> dict[str, tuple[Language, ...]]:
    words = dict.fromkeys(word for listed in FUNCTION_WORDS.values() for word in listed.split())
    return {
        word: tuple(name for name, listed in FUNCTION_WORDS.items() if word in listed.split())
        for word in words
    }


@cache
def _foreign_words() -> frozenset[str]:
    return frozenset(word for word, names in _languages_of_word().items() if "en" not in names)


@cache
def _words_of_english_alone() -> frozenset[str]:
    return frozenset(word for word, names in _languages_of_word().items() if names == ("en",))
