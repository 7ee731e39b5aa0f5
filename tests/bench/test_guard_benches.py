"""What the guard's entries are measured on, and that a mixture of policies would be seen."""

from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.policy import Policy
from modelmill_guard.verdict import Direction

from tests.bench.guard_service import Seen
from tests.bench.guard_texts import (
    KEYWORDS,
    PATTERNS,
    Answers,
    adversarial,
    keywords,
    patterns,
    rules,
    text,
)

SIZE = 8_000


def test_there_are_ten_thousand_keywords_and_a_hundred_patterns() -> None:
    assert len(set(keywords())) == KEYWORDS == 10_000
    assert len(set(patterns())) == PATTERNS == 100
    assert {word for rule in rules() for word in rule.keywords} == set(keywords())


def test_what_is_planted_is_found_and_an_answer_holds_none_of_it() -> None:
    some = tuple(rule for rule in rules() if rule.pattern is None)
    policy = CompiledPolicy.from_bundle(compile_policy(Policy(some)).content)
    sample, planted = text(SIZE)

    assert planted >= SIZE // 2_500
    assert len(policy.check(sample, Direction.INPUT).matches) >= planted
    answers = Answers()
    first, second = answers.next(500), answers.next(500)
    assert first != second
    assert not policy.check("".join([*first, *second]), Direction.OUTPUT).matches


def test_adversarial_texts_are_as_long_as_was_asked() -> None:
    texts = dict(adversarial(SIZE))
    assert len(texts) >= 15
    for name, one in texts.items():
        assert SIZE - 4 < len(one.encode()) <= SIZE, name


def test_a_text_of_another_bundle_than_the_one_named_is_mixed() -> None:
    seen, wanted = Seen(), {"a": "one ***", "b": "*** two"}
    for shown, digest in (("one ***", "a"), ("*** ***", "a"), ("*** two", "a"), ("one ***", "c")):
        seen.take(shown, digest, wanted)
    assert (seen.answers, seen.mixed, dict(seen.by_digest)) == (4, 3, {"a": 1})
