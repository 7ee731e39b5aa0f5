"""When text is released: at once, unless a rule that stops or masks may be growing."""

import pytest
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.policy import parse_policy
from modelmill_guard.stream import StreamGuard
from modelmill_guard.verdict import Action, Direction


def policy_of(*, action: str, keyword: str, within_words: bool = False) -> CompiledPolicy:
    """A policy with one rule alone."""
    rule = f"{{id: a, category: c, severity: low, action: {action}, directions: both,"
    rule += f" keywords: [{keyword}], within_words: {str(within_words).lower()}}}"
    bundle = compile_policy(parse_policy({"p": f"rules: [{rule}]"}))
    return CompiledPolicy.from_bundle(bundle.content)


def stream_of(*, action: str, keyword: str, within_words: bool = False) -> StreamGuard:
    """A guard with one rule alone, whose release no other rule delays."""
    policy = policy_of(action=action, keyword=keyword, within_words=within_words)
    return policy.stream(Direction.OUTPUT)


def test_text_that_can_start_no_rule_is_released_at_once() -> None:
    stream = stream_of(action="block", keyword="pipe bomb")
    assert stream.push("A fine day for a pi").text == "A fine day for a "
    assert stream.push("cnic, up").text == "picnic, up"


def test_flag_rules_hold_nothing_back() -> None:
    stream = stream_of(action="flag", keyword="system prompt")
    assert stream.push("my system prom").text == "my system prom"
    assert stream.push("pt").text == "pt"
    verdict = stream.finish().verdict
    assert verdict is not None
    assert [(match.start, match.end) for match in verdict.matches] == [(3, 16)]


@pytest.mark.parametrize("action", ["flag", "mask", "block"])
def test_a_strict_policy_stops_at_whatever_a_rule_matches(action: str) -> None:
    policy = policy_of(action=action, keyword="system prompt")
    strict = policy.strict()
    stream = strict.stream(Direction.OUTPUT)
    shown = [stream.push(character).text for character in "my system prompt is"]
    assert "".join([*shown, stream.finish().text]) == "my "
    assert strict.check("my system prompt", Direction.INPUT).action is Action.BLOCK
    assert strict.digest == policy.digest


def test_a_strict_policy_is_built_once_and_only_where_it_differs() -> None:
    flagging = policy_of(action="flag", keyword="system prompt")
    assert flagging.strict() is flagging.strict() is not flagging
    assert flagging.strict().strict() is flagging.strict()
    blocking = policy_of(action="block", keyword="system prompt")
    assert blocking.strict() is blocking


def test_a_mask_that_ends_within_a_ligature_waits_for_the_marks_of_it() -> None:
    stream = stream_of(action="mask", keyword="oaf", within_words=True)
    shown = [stream.push(character).text for character in "oaﬀ\u0301er"]
    assert "".join([*shown, stream.finish().text]) == "****er"


def test_a_word_pulled_apart_is_held_while_it_may_grow_and_decided_at_what_follows() -> None:
    stream = stream_of(action="mask", keyword="bomb")
    pieces = ["the b", " - o", "-", "m b", ".", " b o", "dy"]
    assert [stream.push(piece).text for piece in pieces] == [
        "the ",
        "",
        "",
        "",
        "********",  # the last b may begin another
        "*. ",
        "b ody",
    ]


def test_chinese_pulled_apart_is_decided_at_the_next_character() -> None:
    stream = stream_of(action="mask", keyword="炸弹")
    pieces = ["拿炸", "*弹", "。", "炸", "....", "弹"]
    assert [stream.push(piece).text for piece in pieces] == ["拿", "", "***。", "", "炸....", "弹"]
