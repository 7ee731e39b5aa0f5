"""The policy of the guard's entries, 10,000 keywords and 100 patterns, and texts for it."""

from collections.abc import Iterator
from functools import cache
from itertools import cycle, islice
from random import Random

from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.policy import Policy
from modelmill_guard.rule import Rule, Severity
from modelmill_guard.verdict import Action, Direction

from tests.bench.prep_rows import NOUNS, rows_of

KEYWORDS, PATTERNS = 10_000, 100
ENGLISH_KEYWORDS = 6_000
RULES = 50
"""Keywords are shared out among so many rules."""
MOST_CHARACTERS = 1_000_000
PLANTED_EVERY = 2_000
"""Characters between two words that a rule masks."""
SEED = 8
GLOSSES = 30_000
"""Some 300,000 words."""

_COMMON = (
    "the coffee water under pressure small grows person green river open market morning paper "
    "window letter garden winter simple engine of and to in is with for on by from at"
)
COMMON = tuple(_COMMON.split())
"""Words of texts; keywords begin with them, so that beginnings of keywords are everywhere."""
COMMON_CHINESE = "我们今天在市场买了一些咖啡和茶然后走到河边看水老师说这本书很有意思明天再来"
_SOUNDS = "ba ce di fo gu ha je ki lo mu ne pi qua ro si ta vu wex yo zan"
_SYLLABLES = tuple(_SOUNDS.split())
_RARE_CHINESE = "".join(map(chr, range(0x9F00, 0x9F90)))
"""Characters that no text of the bench has."""


@cache
def keywords() -> tuple[str, ...]:
    """Distinct phrases of both languages, each with a part that no text has by chance."""
    random = Random(SEED)
    made: dict[str, None] = {}
    while len(made) < ENGLISH_KEYWORDS:
        rare = "".join(random.choices(_SYLLABLES, k=3))
        common = random.choices(COMMON, k=random.choice((0, 1, 1, 2)))
        made[" ".join([*common, rare])] = None
    while len(made) < KEYWORDS:
        known = random.choices(COMMON_CHINESE, k=random.randint(1, 3))
        made["".join([*known, *random.choices(_RARE_CHINESE, k=2)])] = None
    return tuple(made)


@cache
def patterns() -> tuple[str, ...]:
    """Bounded patterns; a third of them begin with a class and so nearly anywhere."""
    random = Random(SEED + 1)
    made: list[str] = []
    for number in range(PATTERNS):
        rare = "".join(random.choices(_SYLLABLES, k=2)) + str(number)
        common = random.choice(COMMON)
        made.append(
            (
                rf"\b{common} {rare}-\d{{4}}-[a-z]{{2}}\b",
                rf"\b{rare}(?: {common}){{0,3}} \d{{3,6}}\b",
                rf"\b[a-z0-9]{{1,16}}@{rare}\.[a-z]{{2,4}}\b",
            )[number % 3]
        )
    return tuple(made)


def rules() -> tuple[Rule, ...]:
    """All of them mask, so that a text is judged to its end."""
    fixed = ("bench", Severity.LOW, Action.MASK, frozenset(Direction))
    shared = [keywords()[start::RULES] for start in range(RULES)]
    return (
        *(Rule(f"words-{number}", *fixed, keywords=some) for number, some in enumerate(shared)),
        *(Rule(f"p-{number}", *fixed, pattern=one) for number, one in enumerate(patterns())),
    )


@cache
def large_policy() -> CompiledPolicy:
    """Compiled."""
    bundle = compile_policy(Policy(rules(), MOST_CHARACTERS))
    return CompiledPolicy.from_bundle(bundle.content, bundle.digest)


def text(characters: int) -> tuple[str, int]:
    """About so many characters of both languages, and how many keywords are planted in them."""
    random, length, planted = Random(SEED + 2), 0, 0
    parts: list[str] = []
    while length < characters:
        parts.append(_english(random) if random.random() < 0.6 else _chinese(random))
        length += len(parts[-1])
        if length // PLANTED_EVERY > planted:
            parts.append(f"{random.choice(keywords())}. ")
            length += len(parts[-1])
            planted += 1
    return "".join(parts), planted


class Answers:
    """English as people write it, word by word: WordNet's glosses, no two answers of the same ones.

    A guard that remembers pieces must not be measured on pieces that it has seen.
    """

    def __init__(self) -> None:
        texts = (row["gloss"] for row in rows_of(NOUNS, GLOSSES))
        self._words = cycle(f"{word} " for text in texts for word in text.split())

    def next(self, count: int) -> list[str]:
        """The next answer, of so many words."""
        return list(islice(self._words, count))


def _english(random: Random) -> str:
    return " ".join(random.choices(COMMON, k=random.randint(6, 14))).capitalize() + ". "


def _chinese(random: Random) -> str:
    return "".join(random.choices(COMMON_CHINESE, k=random.randint(8, 20))) + "。"


def adversarial(size: int) -> Iterator[tuple[str, str]]:
    """Name and text of `size` bytes as UTF-8, each made to cost more than its bytes."""
    random = Random(SEED + 4)
    some = sorted(keywords(), key=len)[-200:]
    beginnings = "".join(f"{one[:-1]} " for one in random.choices(some, k=len(some)))
    near_codes = "".join(f"abcdefgh12345678@{one[:5]} " for one in map(str, range(9999, 9899, -1)))
    seen = [chr(code) for code in range(0xA000, 0x1_2000) if not 0xD800 <= code < 0xE000]
    units = {
        "beginnings of keywords": beginnings,
        "beginnings of Chinese keywords": COMMON_CHINESE,
        "beginnings of patterns": near_codes,
        "one letter": "a",
        "letters and spaces": "a b c o f t e r ",
        "letters and dots": "t.h.e.c.o.f.",
        "spaces": " ",
        "new lines and spaces": "the \n \t ",
        "combining marks": "e" + "\u0301" * 200,
        "zero-width": "c\u200bo\u200b",
        "look-alikes": "соffее раре ",
        "mathematical": "𝐭𝐡𝐞 𝐫𝐢𝐯𝐞𝐫 ",
        "full width": "ｔｈｅ　ｃｏｆｆｅｅ　",
        "digits for letters": "7h3 c0ff33 ",
        "pinyin": "wo men jin tian zai shi chang ",
        "characters all different": "".join(random.sample(seen, len(seen))),
        "unseen letters": "t\U000e0061",
        "signs between letters": "the_cof-fee.in/wa*ter ",
        "words that touch": "thecoffeewaterunderpressure",
        "letters of flags": "\U0001f1f9\U0001f1ed\U0001f1ea ",
        "percent-escapes": "%74%68%65%20%63%6f",
        "entities": "&#116;&#x68;e&nbsp;&amp;#99;",
        "escapes of programs": "\\u0074\\x68e \\u{63}\\\\u006f",
        "beginnings of escapes": "&%\\&#%u\\x",
        "masked all over": f"{some[0]}. ",
    }
    for name, unit in units.items():
        length = len(unit.encode())
        yield name, (unit * (size // length + 1)).encode()[:size].decode("utf-8", "ignore")
