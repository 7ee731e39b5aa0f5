"""Judges that are the same function of a window every time, and what they come to by hand."""

import asyncio

from modelmill_guard.bundle import CompiledPolicy
from modelmill_guard.judge import Judge, Opinion, Window
from modelmill_guard.judging import CONTEXT_CHARACTERS, Ruling
from modelmill_guard.verdict import Action, Direction

TELLING = {"block": "vile", "mask": "rude", "flag": "odd"}
"""What a judge of each action finds."""


def opinions(judge: Judge, window: Window) -> list[Opinion]:
    """Sure when its word ends within the window, half sure when the word's letter does."""
    word = TELLING[judge.action.name.lower()]
    read = window.context[-len(word) + 1 :] + window.text
    return [Opinion("harm", 0.9 if word in read else 0.5 if word[0] in read else 0.0)]


async def ask(judge: Judge, window: Window) -> Ruling:
    """A judge who takes a few turns of the loop, more for some windows than for others."""
    for _ in range((window.start // 7 + len(judge.id)) % 4):
        await asyncio.sleep(0)
    return Ruling(judge.matches(window, opinions(judge, window)))


def by_hand(policy: CompiledPolicy, text: str, direction: Direction) -> tuple[str, set[str]]:
    """What is shown of a text, and the ids of judges with a match, found on the whole of it."""
    rules = policy.stream(direction)
    first, last = rules.push(text), rules.finish()
    assert last.verdict is not None
    released, is_blocked = first.text + last.text, last.verdict.action is Action.BLOCK
    found: list[tuple[tuple[int, bool], int, Judge]] = []
    shown_to = len(released)
    for judge in policy.judges(direction):
        for start in range(0, len(released), judge.window):
            part = released[start : start + judge.window]
            is_short = len(part) < judge.window
            if is_blocked and is_short:
                shown_to = min(shown_to, start if judge.holds else shown_to)
                continue
            window = Window(start, released[max(start - CONTEXT_CHARACTERS, 0) : start], part)
            if judge.matches(window, opinions(judge, window)):
                found.append(((start + len(part), is_short), start, judge))
    blocked = [match for match in found if match[2].action is Action.BLOCK]
    if blocked:
        last = min(match[0] for match in blocked)
        found = [match for match in found if match[0] <= last]
        # What a judge of longer windows has not judged by then is not shown, either.
        end, is_short = last
        judged = [
            end if is_short else end // judge.window * judge.window
            for judge in policy.judges(direction)
            if judge.holds
        ]
        shown_to = min(*(start for at, start, _ in blocked if at == last), *judged)
    for (end, _), start, judge in found:
        if judge.action is Action.MASK:
            released = released[:start] + "*" * (end - start) + released[end:]
    return released[:shown_to], {judge.id for _, _, judge in found}
