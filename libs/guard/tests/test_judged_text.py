"""Judges and rules together: one verdict per text, whatever the cuts and whoever answers first."""

import asyncio
from collections.abc import Sequence

import pytest
from guard_support.judges import ask, by_hand
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.judge import Judge, OnFailure, Window
from modelmill_guard.judged_text import JudgedText, judge_whole
from modelmill_guard.judging import AsksJudge, Ruling
from modelmill_guard.policy import parse_policy
from modelmill_guard.verdict import Action, Direction, Verdict

RULES = """
rules:
- {id: bomb, category: illicit, severity: high, action: block, directions: both, keywords: [bomb]}
- {id: bob, category: pii, severity: low, action: mask, directions: both, keywords: [bob]}
- {id: digits, category: pii, severity: low, action: flag, directions: both, pattern: '[0-9]{3}'}
"""


def judge(action: str, window: int, **more: object) -> str:
    """A judge in a policy's words; `guard_support.judges` says what each action finds."""
    written = {
        "id": f"{action}-{window}",
        **{"severity": "high", "action": action, "directions": "both", "threshold": 0.8},
        **{"window": window, "service": "any", "categories": "{harm: harm}"},
        **more,
    }
    return "- {" + ", ".join(f"{key}: {value}" for key, value in written.items()) + "}\n"


def policy_with(*judges: str) -> CompiledPolicy:
    """Rules and these judges."""
    written = RULES + "judges:\n" + "".join(judges)
    return CompiledPolicy.from_bundle(compile_policy(parse_policy({"p": written})).content)


POLICIES = [
    policy_with(judge("block", 50)),
    policy_with(judge("mask", 60), judge("flag", 90)),
    policy_with(judge("block", 70), judge("mask", 50), judge("flag", 130), judge("flag", 50)),
    policy_with(judge("block", 50), judge("block", 100), judge("mask", 80)),
    policy_with(judge("block", 50), judge("mask", 170)),
]
WORDS = ("vile", "rude", "odd", "bob", "bomb", "123", "grass", "a", "river stone", "vi", "le")
words = st.one_of(*[st.sampled_from(WORDS[6:9])] * 3, st.sampled_from(WORDS))
texts = st.integers(0, 60).flatmap(lambda n: st.lists(words, min_size=n, max_size=n)).map(" ".join)


async def in_pieces(
    policy: CompiledPolicy, pieces: Sequence[str], asks: AsksJudge = ask
) -> tuple[str, Verdict]:
    """Everything shown, and the verdict; checks that a stop is a stop."""
    judged = JudgedText(policy, Direction.OUTPUT, asks)
    shown, stopped = "", None
    try:
        for piece in pieces:
            released = await judged.push(piece)
            assert stopped is None or released == ("", None)
            shown += released.text
            stopped = stopped or released.verdict
        last = await judged.finish()
    finally:
        await judged.close()
    assert last.verdict is not None
    assert stopped in (None, last.verdict)
    return shown + last.text, last.verdict


@pytest.mark.parametrize("policy", POLICIES)
@given(text=texts, data=st.data())
@settings(deadline=None)
def test_no_cut_changes_what_is_shown_or_the_verdict(
    policy: CompiledPolicy, text: str, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    ends = [*cuts, len(text)]
    pieces = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    shown, verdict = asyncio.run(in_pieces(policy, pieces))
    whole = asyncio.run(judge_whole(policy, text, Direction.OUTPUT, ask))

    expected, judges = by_hand(policy, text, Direction.OUTPUT)
    assert shown == expected
    assert verdict == whole
    assert {match.rule_id for match in verdict.matches if match.score is not None} == judges
    assert verdict.text == ("" if verdict.action is Action.BLOCK else shown)


@given(text=texts, size=st.integers(1, 120))
@settings(deadline=None)
def test_beside_a_text_the_verdict_is_the_same_as_on_the_whole(text: str, size: int) -> None:
    policy = policy_with(judge("block", 50, beside="true"), judge("mask", 70), judge("flag", 60))
    pieces = [text[start : start + size] for start in range(0, len(text), size)]

    _, verdict = asyncio.run(in_pieces(policy, pieces))

    assert verdict == asyncio.run(judge_whole(policy, text, Direction.OUTPUT, ask))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("length", [50, 60, 100, 120, 150, 170, 200])
def test_a_window_that_ends_with_the_text_counts_before_those_that_are_cut_short(
    policy: CompiledPolicy, length: int
) -> None:
    for words in ("vile", "vile odd", "rude vile", "odd rude vile"):
        text = ("a river stone " * 20)[: length - len(words) - 1] + " " + words
        expected, _ = by_hand(policy, text, Direction.OUTPUT)
        whole = asyncio.run(judge_whole(policy, text, Direction.OUTPUT, ask))
        for size in (1, 7, 50, len(text)):
            pieces = [text[start : start + size] for start in range(0, len(text), size)]
            assert asyncio.run(in_pieces(policy, pieces)) == (expected, whole)


def test_a_window_waits_for_its_ruling_and_for_no_other() -> None:
    async def scene() -> None:
        asked, answer = asyncio.Event(), asyncio.Event()

        async def patient(judge: Judge, window: Window) -> Ruling:
            asked.set()
            await answer.wait()
            return Ruling(())

        judged = JudgedText(policy_with(judge("block", 50)), Direction.OUTPUT, patient)
        assert (await judged.push("." * 49)).text == ""
        held = asyncio.create_task(judged.push("." * 11))
        await asked.wait()
        assert not held.done()
        answer.set()
        assert (await held).text == "." * 50
        assert (await judged.finish()).text == "." * 10
        await judged.close()

    asyncio.run(scene())


def test_beside_shows_one_window_before_its_ruling_and_never_two() -> None:
    async def scene() -> None:
        answer = asyncio.Event()

        async def slow(judge: Judge, window: Window) -> Ruling:
            await answer.wait()
            return await ask(judge, window)

        judged = JudgedText(policy_with(judge("block", 50, beside="true")), Direction.OUTPUT, slow)
        shown = ""
        for word in ["vile", *["calm"] * 40]:
            pushed = asyncio.create_task(judged.push(word))
            for _ in range(5):
                await asyncio.sleep(0)
            if not pushed.done():
                break
            shown += pushed.result().text
        assert len(shown) == 50
        answer.set()
        released = await pushed
        assert released.text == ""
        assert released.verdict is not None
        assert released.verdict.action is Action.BLOCK
        await judged.close()

    asyncio.run(scene())


def test_a_judge_that_only_flags_holds_nothing_back() -> None:
    async def scene() -> None:
        answer = asyncio.Event()

        async def slow(judge: Judge, window: Window) -> Ruling:
            await answer.wait()
            return await ask(judge, window)

        judged = JudgedText(policy_with(judge("flag", 50)), Direction.OUTPUT, slow)
        assert (await judged.push("odd " * 100)).text == "odd " * 99 + "odd "
        answer.set()
        verdict = (await judged.finish()).verdict
        assert verdict is not None
        assert [match.start for match in verdict.matches] == list(range(0, 400, 50))
        await judged.close()

    asyncio.run(scene())


def test_a_judge_without_an_opinion_is_named_or_ends_the_text() -> None:
    async def away(judge: Judge, window: Window) -> Ruling:
        if judge.on_failure is OnFailure.CLOSED:
            raise ConnectionError
        return Ruling((), answered=False)

    opened = policy_with(judge("block", 50, on_failure="open"))
    shown, verdict = asyncio.run(in_pieces(opened, ["vile " * 20], away))
    assert shown == "vile " * 20
    assert verdict.unanswered == ("block-50",)

    closed = policy_with(judge("block", 50))
    with pytest.raises(ConnectionError):
        asyncio.run(in_pieces(closed, ["vile " * 20], away))


def test_a_closed_judge_that_only_flags_ends_the_text_as_soon_as_it_gives_no_opinion() -> None:
    async def scene() -> None:
        async def away(judge: Judge, window: Window) -> Ruling:
            raise ConnectionError

        judged = JudgedText(policy_with(judge("flag", 50)), Direction.OUTPUT, away)
        await judged.push("." * 60)
        for _ in range(3):
            await asyncio.sleep(0)
        with pytest.raises(ConnectionError):
            await judged.push(".")
        await judged.close()

    asyncio.run(scene())


def test_what_is_being_asked_ends_with_the_text() -> None:
    async def scene() -> None:
        async def forever(judge: Judge, window: Window) -> Ruling:
            await asyncio.Event().wait()
            raise AssertionError

        judged = JudgedText(policy_with(judge("flag", 50)), Direction.OUTPUT, forever)
        await judged.push("." * 200)
        await judged.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scene())
