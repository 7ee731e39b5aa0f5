"""What rules cost a character: costly ones are told from cheap ones, and by name."""

import time
from random import Random

import pytest
import re2
from modelmill_guard.bundle import expanded
from modelmill_guard.cost import PROBE_CHARACTERS, _example, cost_of, costliest
from modelmill_guard.pattern import tree_of
from modelmill_guard.policy import Policy, parse_policy

LIMIT = 20e-6
HEAD = "category: c, severity: low, action: block, directions: input"
COSTLY = [
    "(?:[a-z]?[a-z0-9 ]?){120}z",
    "(?:[a-m].{20}[n-z].{20}){4}",
    "(?:[a-z]{1,3}[a-m].{2,10}){10}q",
    ".{0,120}x.{0,120}y",
    "(?:.{1,15}[a-e]){15}",
    "(?:.{1,12}[f-k]){18}",
]


def policy(*rules: str) -> Policy:
    return expanded(parse_policy({"p": "\n- ".join(["rules:", *rules])}))


def patterns(*written: str, name: str = "pattern") -> list[str]:
    return [
        f"{{id: {name}-{number}, {HEAD}, pattern: '{each}'}}" for number, each in enumerate(written)
    ]


def nested(count: int) -> list[str]:
    return [
        f"{{id: nested-{number}, {HEAD}, within_words: true, keywords: [{'a' * number}]}}"
        for number in range(1, count)
    ]


CHEAP = [
    *patterns("kill [a-z]{1,20} now", "[a-z]{3,10} zebra", "n[0-9]{3}"),
    f"{{id: words, {HEAD}, keywords: [how to make a bomb, forbidden fruit]}}",
]


@pytest.mark.parametrize("rules", [patterns(*COSTLY, name="costly"), nested(120)])
def test_costly_rules_are_told_from_cheap_ones(rules: list[str]) -> None:
    cheap = cost_of(policy(*CHEAP), time.thread_time, LIMIT)
    assert cheap < LIMIT
    assert cost_of(policy(*rules, *CHEAP), time.thread_time, LIMIT) > max(LIMIT, 5 * cheap)


def test_the_costliest_come_first_and_cheap_ones_behind_them() -> None:
    named = costliest(
        policy(*CHEAP, f"{{id: costly, {HEAD}, pattern: '{COSTLY[3]}'}}"),
        *(time.thread_time, LIMIT),
        most=3,
        seed=5,
    )
    assert named[0].rule_id == "costly"
    assert [cost.seconds for cost in named] == sorted((c.seconds for c in named), reverse=True)
    assert len(named) == 3


def test_keywords_that_lie_within_each_other_are_named() -> None:
    named = costliest(policy(*CHEAP, *nested(50)), time.thread_time, LIMIT, most=5, seed=5)
    assert any(cost.rule_id.startswith("nested-") for cost in named)


@pytest.mark.tier("test")
def test_a_measurement_of_hopeless_rules_is_broken_off() -> None:
    """Ten thousand matches at each character would take minutes to read to the end."""
    same = f"{HEAD}, within_words: true, keywords: [a]"
    rules = [f"{{id: same-{number}, {same}}}" for number in range(5000)]
    begun = time.thread_time()
    assert cost_of(policy(*rules), time.thread_time, LIMIT) > LIMIT
    assert time.thread_time() - begun < PROBE_CHARACTERS * 5000 * 2e-6


@pytest.mark.parametrize(
    "pattern", [*COSTLY, r"\b(?:a|b{2,3})[^c-z]\d?\.\w{2}", "炸[药彈]", r"[^\x00-\x7f]x"]
)
def test_examples_are_matches(pattern: str) -> None:
    tree = tree_of(pattern)
    found = re2.compile(f"(?s){tree.source()}")
    for seed in range(20):
        example = _example(tree, Random(seed))
        assert found.fullmatch(example) or "\\x" in pattern
