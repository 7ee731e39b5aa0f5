"""Words spelled in characters that nobody sees are found, and what is seen around them stays."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.hidden import MOST_BETWEEN, MOST_PASSAGES
from modelmill_guard.policy import parse_policy
from modelmill_guard.verdict import Action, Direction, Verdict

RULES = r"""
rules:
- {id: bomb, category: c, severity: low, action: %s, directions: both,
   keywords: [pipe bomb, bob, up]}
- {id: inside, category: c, severity: low, action: mask, directions: both,
   keywords: [oaf], within_words: true}
- {id: code, category: c, severity: low, action: flag, directions: both, pattern: '\bk\d{2,3}\b'}
"""


def compiled(action: str) -> CompiledPolicy:
    bundle = compile_policy(parse_policy({"p": RULES % action}))
    return CompiledPolicy.from_bundle(bundle.content)


MASKING, BLOCKING = compiled("mask"), compiled("block")


def unseen(text: str) -> str:
    return "".join(chr(0xE0000 + ord(character)) for character in text)


def streamed(policy: CompiledPolicy, pieces: list[str]) -> tuple[str, Verdict]:
    stream = policy.stream(Direction.OUTPUT)
    shown = [stream.push(piece).text for piece in pieces]
    last = stream.finish()
    assert last.verdict is not None
    return "".join([*shown, last.text]), last.verdict


@pytest.mark.parametrize("spelled", ["bob", "Bob", "pipe bomb", "b.o.b", "PIPE  bomb"])
@pytest.mark.parametrize(("before", "after"), [("", ""), ("a ", " b"), ("", "! ")])
def test_a_word_that_is_not_seen_is_masked_and_nothing_else(
    spelled: str, before: str, after: str
) -> None:
    around = f"Have {unseen(before)}", f"{unseen(after)}a nice day."
    text = unseen(spelled).join(around)
    assert MASKING.check(text, Direction.INPUT).text == ("*" * len(spelled)).join(around)


def test_letters_apart_are_one_word_up_to_three_others() -> None:
    between, beyond = "x" * MOST_BETWEEN, "x" * (MOST_BETWEEN + 1)
    assert MASKING.check(between.join(unseen("bob")), Direction.INPUT).matches
    assert not MASKING.check(beyond.join(unseen("bob")), Direction.INPUT).matches
    for between in ("x", " "):
        text = f"{unseen('pipe ')}{between}{unseen('bomb')}"
        assert len(MASKING.check(text, Direction.INPUT).matches) == 1


@pytest.mark.parametrize(
    "text",
    [
        f"b{unseen('x')}o{unseen('Q')}b",  # seen, with noise between its letters
        f"b{unseen('ob')}",
        f"\U0001f3f4{unseen('gbeng')}\U000e007f \U0001f3f4{unseen('gbsct')}\U000e007f",
    ],
)
def test_what_is_not_seen_is_no_part_of_what_is(text: str) -> None:
    found = MASKING.check(text, Direction.INPUT).matches
    assert [(match.start, match.end) for match in found] == ([(0, 5)] if len(text) == 5 else [])


def test_text_waits_for_an_unseen_word_only_while_it_may_go_on() -> None:
    stream = MASKING.stream(Direction.OUTPUT)
    assert stream.push(f"a {unseen('pipe')}").text == "a "
    assert stream.push("xyz").text == ""
    assert stream.push("w").text == f"{unseen('pipe')}xyzw"


def test_a_flag_holds_nothing_back() -> None:
    stream = MASKING.stream(Direction.OUTPUT)
    for piece in ("we ", f"\U0001f3f4{unseen('gbeng')}\U000e007f", " won"):
        assert stream.push(piece).text == piece


PIECES = ["x", "y ", "xyxy", "é", "ж\u0301", "\U000e007f"]
SPELLED = ["bob", "pipe", " bomb", "oaf", "k12", "3", " ", "b", "o", "Q", "a."]
PARTS = st.one_of(st.sampled_from(PIECES), st.sampled_from(SPELLED).map(unseen))


def by_passage(policy: CompiledPolicy, text: str) -> list[tuple[str, int, int]]:
    """Each passage as a text that is seen; no rule is about what is seen in these tests."""
    found = []
    places = [at for at, character in enumerate(text) if 0xE0020 <= ord(character) < 0xE007F]
    starts = [at for last, at in pairwise([-9, *places]) if at - last > MOST_BETWEEN + 1]
    for start, stop in pairwise([*starts, len(text)]):
        read: list[tuple[str, int]] = []
        for at in (place for place in places if start <= place < stop):
            if read and at > read[-1][1] + 1:
                read.append((" ", at))
            read.append((chr(ord(text[at]) - 0xE0000), at))
        plain = "".join(letter for letter, _ in read)
        for match in policy.check(plain, Direction.OUTPUT).matches:
            # A space in a row belongs to the letter before it; what is not seen ends with itself.
            end = match.end - len(plain[: match.end]) + len(plain[: match.end].rstrip(" "))
            found.append((match.rule_id, read[match.start][1], read[end - 1][1] + 1))
    return sorted(set(found))


@settings(max_examples=300, deadline=None)
@given(st.lists(PARTS, max_size=12), st.data())
def test_each_passage_is_judged_as_a_text_however_it_is_cut(
    parts: list[str], data: st.DataObject
) -> None:
    text = "".join(parts)
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=5).map(sorted))
    pieces = [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]
    shown, verdict = streamed(MASKING, pieces)

    assert verdict == MASKING.check(text, Direction.OUTPUT)
    assert shown == verdict.text == streamed(MASKING, list(text))[0]
    found = sorted((match.rule_id, match.start, match.end) for match in verdict.matches)
    assert found == by_passage(MASKING, text)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.one_of(PARTS, st.sampled_from([" bob", "oaf", "pipe "])), max_size=12), st.data()
)
def test_nothing_from_the_first_block_on_is_shown_seen_or_not(
    parts: list[str], data: st.DataObject
) -> None:
    text = "".join(parts)
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=5).map(sorted))
    pieces = [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]
    shown, verdict = streamed(BLOCKING, pieces)

    assert verdict == BLOCKING.check(text, Direction.OUTPUT)
    blocks = [match.start for match in verdict.matches if match.action is Action.BLOCK]
    assert len(shown) == min(blocks, default=len(text))
    for original, masked in zip(text, shown, strict=False):
        assert masked in (original, "*")


def test_a_block_waits_for_unseen_flags_that_began_before_it() -> None:
    text = f"{unseen('k1')}up {unseen('2')}"
    for pieces in (list(text), [text], [text[:5], text[5:]]):
        verdict = streamed(BLOCKING, pieces)[1]
        assert [match.rule_id for match in verdict.matches] == ["bomb"]
    text = f"{unseen('k12')}up {unseen('3')}"
    for pieces in (list(text), [text], [text[:6], text[6:]]):
        verdict = streamed(BLOCKING, pieces)[1]
        assert [match.rule_id for match in verdict.matches] == ["code", "bomb"]


@pytest.mark.parametrize("passages", [0, MOST_PASSAGES])
def test_after_many_passages_the_last_goes_on(passages: int) -> None:
    text = f"{unseen('Q')}xxxx" * passages + f"{unseen('pipe')}xxxx{unseen('bomb')} and so on"
    assert len(MASKING.check(text, Direction.INPUT).matches) == (1 if passages else 0)
