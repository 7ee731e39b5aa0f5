"""What `block` promises of an answer, for any text, any cuts and any of the policy's actions."""

from typing import Any

from gateway_support.house import BLOCKED, FLAGGED, MASKED, compiled
from hypothesis import given
from hypothesis import strategies as st
from modelmill_gateway.domain.chat import End, Piece
from modelmill_gateway.guarding.rule_filtered_stream import BLOCKED as STOPPED
from modelmill_gateway.guarding.rule_filtered_stream import RuleFilteredStream
from modelmill_guard.verdict import Action, Direction

POLICY = compiled()[1]
WORDS = st.sampled_from(
    [BLOCKED, FLAGGED, MASKED, "a", " ", "\n", "forbidden", "lock", "pho", "ne"]
)


@st.composite
def pieces(draw: st.DrawFn) -> list[str]:
    """A text of such words, cut anywhere."""
    text = "".join(draw(st.lists(WORDS, max_size=12)))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def answered(policy: Any, said: list[str]) -> tuple[str, RuleFilteredStream]:
    """What is shown of it, and the answer."""
    answer = RuleFilteredStream(policy)
    shown = [answer.shown(Piece(text)).text for text in said]
    return "".join([*shown, answer.shown(Piece("", End("stop"))).text]), answer


@given(pieces())
def test_a_strict_answer_shows_what_stands_before_the_first_match_and_nothing_else(
    said: list[str],
) -> None:
    shown, answer = answered(POLICY.strict(), said)
    judged = POLICY.strict().check("".join(said), Direction.OUTPUT)

    assert "".join(said).startswith(shown)
    assert POLICY.check(shown, Direction.OUTPUT).action is Action.ALLOW
    stopped = judged.action is Action.BLOCK
    assert len(shown) == (judged.matches[0].start if stopped else len("".join(said)))
    assert answer.end == End(STOPPED if stopped else "stop")


@given(pieces())
def test_whether_it_is_strict_changes_only_what_a_rule_would_flag_or_mask(said: list[str]) -> None:
    lax, strict = answered(POLICY, said), answered(POLICY.strict(), said)

    assert lax[0].startswith(strict[0])
    assert strict[1].judged.flagged == lax[1].judged.flagged == strict[1].judged.blocked
    assert set(strict[1].judged.hits) <= set(lax[1].judged.hits)
    assert strict[1].judged.policy_digest == POLICY.digest
