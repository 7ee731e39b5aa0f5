"""A hyphen stands for the space of a phrase, however short it is."""

import pytest
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.policy import parse_policy
from modelmill_guard.verdict import Direction

RULE = "{id: a, category: c, severity: low, action: mask, directions: both, keywords: %s}"
BUNDLE = compile_policy(parse_policy({"p": f"rules: [{RULE % '[pipe bomb, c-4, 炸 弹药]'}]"}))
COMPILED = CompiledPolicy.from_bundle(BUNDLE.content)


@pytest.mark.parametrize("written", ["pipe bomb", "Pipe-Bomb", "pipe\u2010bomb", "c-4", "炸-弹药"])
def test_a_keyword_is_found_with_hyphens_for_its_spaces(written: str) -> None:
    text = f"x {written} 。"
    assert COMPILED.check(text, Direction.INPUT).text == f"x {'*' * len(written)} 。"


@pytest.mark.parametrize("written", ["pipe. bomb", "pipe, bomb", "pipebombs", "c 4", "c--4", "c4"])
def test_what_is_joined_otherwise_is_left(written: str) -> None:
    assert not COMPILED.check(f"x {written} 。", Direction.INPUT).matches


def test_after_a_hyphen_a_phrase_may_go_on() -> None:
    stream = COMPILED.stream(Direction.OUTPUT)
    pieces = ["a pipe", "-", "bom", "b", "."]
    assert [stream.push(piece).text for piece in pieces] == ["a ", "", "", "", "*********."]


def test_what_only_reads_like_a_beginning_is_not_held() -> None:
    fixed = "category: c, severity: low, action: mask, directions: both"
    rules = [
        RULE % "[pipe bomb, c-4, -rf]",
        f"{{id: key, {fixed}, detector: private-key}}",
        f"{{id: sk, {fixed}, pattern: '\\bsk-\\d{{4}}'}}",
        f"{{id: go, {fixed}, pattern: 'go on \\d{{4}}'}}",
    ]
    bundle = compile_policy(parse_policy({"p": f"rules: [{', '.join(rules)}]"}))
    stream = CompiledPolicy.from_bundle(bundle.content).stream(Direction.OUTPUT)
    for piece in ("an ", "sk ", "go-o", " c ", "word "):
        assert stream.push(piece).text == piece
    pieces = ["-", "--", "! go ", "on ", "x sk-", "x c-", "x pipe-", "x"]
    held = [stream.push(piece).text for piece in pieces]
    assert held == ["", "", "---! ", "", "go on x ", "sk-x ", "c-x ", "pipe-x"]
