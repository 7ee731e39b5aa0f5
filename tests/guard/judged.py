"""Compares the released part of a text with the policy's verdict on the whole text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill_guard.bundle import CompiledPolicy
from modelmill_guard.verdict import Action, Direction, Verdict

MASK = "*"


class LeakError(AssertionError):
    """Something came out that no verdict allows, or a verdict depended on the cuts."""


@dataclass(frozen=True)
class Expected:
    """What must come of a text, whichever way it goes."""

    text: str
    verdict: Verdict
    approved: str
    """All that may be shown of it: masked, and up to the first block."""
    blocked_at: int | None
    """First character of the first blocked match."""

    def leaked(self, shown: str) -> int:
        """Characters of blocked or masked matches among those shown."""
        count = 0
        for match in self.verdict.matches:
            if match.action >= Action.MASK:
                within = shown[match.start : match.end]
                count += sum(character != MASK for character in within)
        return count

    def hold(self, shown: str, verdict: Verdict | None, way: object) -> None:
        """Compare what one way gave.

        Raises:
            LeakError: something else was shown, or another verdict given.
        """
        if (leaked := self.leaked(shown)) > 0:
            raise LeakError(f"{leaked} characters leaked of {self.text!r} by {way!r}: {shown!r}")
        if shown != self.approved:
            raise LeakError(f"{shown!r} instead of {self.approved!r} by {way!r}")
        if verdict is not None and verdict != self.verdict:
            raise LeakError(f"{verdict} instead of {self.verdict} by {way!r}")


def expected(policy: CompiledPolicy, text: str, direction: Direction) -> Expected:
    """By the verdict on the whole text."""
    verdict = policy.check(text, direction)
    masked, blocked_at = list(text), None
    for match in verdict.matches:
        if match.action is Action.MASK:
            masked[match.start : match.end] = MASK * (match.end - match.start)
        elif match.action is Action.BLOCK and blocked_at is None:
            blocked_at = match.start
    return Expected(text, verdict, "".join(masked[:blocked_at]), blocked_at)


def streamed(
    policy: CompiledPolicy, pieces: Sequence[str], direction: Direction
) -> tuple[str, Verdict]:
    """All that a stream shows of a text in pieces, and its verdict."""
    stream, shown = policy.stream(direction), []
    for piece in pieces:
        released = stream.push(piece)
        shown.append(released.text)
        if released.verdict is not None:
            return "".join(shown), released.verdict
    released = stream.finish()
    assert released.verdict is not None
    return "".join([*shown, released.text]), released.verdict


def cut(text: str, places: Sequence[int]) -> list[str]:
    """The text in pieces; a place that comes twice makes an empty one."""
    edges = [0, *sorted(places), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


def simple_cuts(text: str) -> Iterator[list[str]]:
    """Whole, in two at every place, and one character at a time."""
    yield [text]
    for place in range(1, len(text)):
        yield [text[:place], text[place:]]
    yield list(text)


def same_verdict(wanted: Verdict, verdict: pb.Verdict) -> None:
    """Hold a verdict that came over the wire against the library's."""
    assert [(m.rule_id, m.category, int(m.action), m.start, m.end) for m in verdict.matches] == [
        (m.rule_id, m.category, int(m.action), m.start, m.end) for m in wanted.matches
    ]
    assert int(verdict.action) == int(wanted.action)
    assert verdict.text == wanted.text
    assert verdict.policy_digest == wanted.policy_digest
