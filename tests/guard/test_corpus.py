"""The corpus is what its makers make, and large enough to say something."""

from collections import Counter

import pytest
from modelmill_guard.policy import parse_policy

from tests.bench import guard_recall
from tests.guard.corpus.disguises import CLASSES, ONLY
from tests.guard.corpus.make import corpus as made
from tests.guard.corpus.rows import FILE, POLICY_FILE, corpus, written
from tests.guard.corpus.words import CHINESE, ENGLISH, FORBIDDEN, HARMLESS


def test_the_file_is_what_the_makers_make() -> None:
    assert FILE.read_text("utf-8") == written(made())


def test_another_seed_makes_other_texts() -> None:
    assert {row.text for row in made(9)} != {row.text for row in made()}


def test_there_are_two_thousand_different_texts_and_many_that_are_harmless() -> None:
    texts = {row.text for row in corpus()}
    harmless = [row for row in corpus() if row.rule is None]
    assert len(texts) == len(corpus()) >= 2_000
    assert len(harmless) >= 700


@pytest.mark.parametrize("language", [ENGLISH, CHINESE])
def test_each_class_has_both_kinds_of_texts_in_its_languages(language: str) -> None:
    count = Counter((row.kind, row.rule is None) for row in corpus() if row.language == language)
    for kind in CLASSES:
        if ONLY.get(kind, language) == language and (kind, language) != ("squared", CHINESE):
            if kind == "white-space" and language == CHINESE:
                continue
            assert count[kind, False] >= 30, kind
            assert count[kind, True] >= 10, kind


def test_a_row_says_where_its_word_stands() -> None:
    for row in corpus():
        if row.rule is None:
            assert (row.start, row.end, row.word) == (0, 0, "")
        else:
            assert 0 <= row.start < row.end <= len(row.text)
        if row.kind == "plain" and row.rule:
            assert row.text[row.start : row.end] == row.word


def test_words_are_those_of_the_policy_and_every_rule_has_some() -> None:
    rules = {rule.id: rule for rule in parse_policy({"p": POLICY_FILE.read_text("utf-8")}).rules}
    assert {word.rule for word in FORBIDDEN} == set(rules)
    for word in FORBIDDEN:
        rule = rules[str(word.rule)]
        assert word.is_code == (rule.pattern is not None)
        assert word.is_code or word.text in rule.keywords
    named = {keyword for rule in rules.values() for keyword in rule.keywords}
    assert named == {word.text for word in FORBIDDEN if not word.is_code}
    assert not {word.text for word in HARMLESS} & named


def test_a_split_word_has_all_its_parts() -> None:
    split = {row.text[row.start : row.end] for row in corpus() if row.kind == "split"}
    assert {"火艹化石", "龙鱼粦米分", "日生钅失石广", "木木日尧山夆"} <= split


def test_the_bench_says_how_many_texts_there_are() -> None:
    forbidden = sum(row.rule is not None for row in corpus())
    said = " ".join(str(guard_recall.__doc__).split())
    assert f"{forbidden:,} texts with" in said
    assert f"{len(corpus()) - forbidden:,} harmless ones" in said
