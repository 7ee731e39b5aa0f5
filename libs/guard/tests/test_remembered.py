"""What earlier texts were made of changes nothing for a later one, and is not kept for ever."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_guard.bundle import CompiledPolicy, compile_policy, policy_of
from modelmill_guard.policy import parse_policy
from modelmill_guard.remembered import MOST_REMEMBERED, remember
from modelmill_guard.verdict import Direction

RULES = r"""
rules:
- {id: a, category: c, severity: low, action: mask, directions: both,
   keywords: [ab, b, ab ab, 炸弹, zzzab], variants: [leet]}
- {id: b, category: c, severity: low, action: mask, directions: both, pattern: '\b[q-x]{1,3}@\d?b'}
- {id: c, category: c, severity: low, action: mask, directions: both, pattern: '\bsk-[a1]{1,3}'}
"""
CONTENT = compile_policy(parse_policy({"p": RULES})).content
USED = CompiledPolicy.from_bundle(CONTENT)
PIECES = st.sampled_from(
    ["a", "b", "4b", " ab", "ab ", "@", "1", "x", "y", "炸", "弹", " ", "sk-a", "zz", "-"]
)


def shown(policy: CompiledPolicy, pieces: list[str]) -> list[str]:
    stream = policy.stream(Direction.OUTPUT)
    return [*(stream.push(piece).text for piece in pieces), stream.finish().text]


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=10), st.data())
def test_a_stream_shows_the_same_whatever_was_streamed_before(
    pieces: list[str], data: st.DataObject
) -> None:
    text = "".join(pieces)
    places = data.draw(st.lists(st.integers(0, len(text)), max_size=4).map(sorted))
    shown(USED, [text[start:end] for start, end in pairwise([0, *places, len(text)])])

    assert shown(USED, pieces) == shown(CompiledPolicy(policy_of(CONTENT), ""), pieces)


def test_a_full_table_starts_afresh() -> None:
    known: dict[int, int] = {}
    for number in range(MOST_REMEMBERED + 1):
        assert len(known) <= MOST_REMEMBERED
        remember(known, number, number)
    assert known == {MOST_REMEMBERED: MOST_REMEMBERED}
