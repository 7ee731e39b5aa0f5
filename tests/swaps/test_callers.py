"""What fails, what is cut and what is mixed is found."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from modelmill.inference.v1.inference_service_pb2 import GenerateResponse, GenerationEnd
from modelmill_service_kit.errors import DomainError, NotFoundError, UnavailableError

from tests.swaps import callers
from tests.swaps.callers import Callers, Tally
from tests.swaps.drill import Run
from tests.swaps.report import broken_promises

TEXTS = {"mv-1": {"who": "abcd"}, "mv-2": {"who": "wxyz"}}


@dataclass
class Script:
    """A replica that says what it is told to: text, then a version or an error, for each call."""

    calls: list[tuple[str, str | DomainError]] = field(default_factory=list)
    serving: bool = True

    async def generate(self, model: str, text: str, tokens: int) -> AsyncIterator[Any]:
        said, end = self.calls.pop(0)
        for character in said:
            yield GenerateResponse(text_delta=character)
        if isinstance(end, DomainError):
            raise end
        if end:
            yield GenerateResponse(end=GenerationEnd(version_id=end))


async def told(monkeypatch: pytest.MonkeyPatch, *calls: tuple[str, str | DomainError]) -> Tally:
    monkeypatch.setattr(callers, "PAUSE_SECONDS", 0.0)
    asking = Callers([Script(list(calls))], "kinds", TEXTS)
    await asking.ask("who")
    return asking.tally


async def test_a_right_answer_counts_for_its_version(monkeypatch: pytest.MonkeyPatch):
    assert await told(monkeypatch, ("abcd", "mv-1")) == Tally(answered={"mv-1": 1})


@pytest.mark.parametrize(
    ("text", "version"),
    [("abyz", "mv-1"), ("abcd", "mv-2"), ("abc", "mv-1"), ("", "mv-1"), ("abcd", "mv-3")],
    ids=["half and half", "of the other", "short", "empty", "unknown version"],
)
async def test_an_answer_that_is_not_wholly_its_versions_is_mixed(
    monkeypatch: pytest.MonkeyPatch, text: str, version: str
):
    tally = await told(monkeypatch, (text, version))

    assert len(tally.mixed) == 1
    assert broken_promises(Run(tally))


async def test_what_is_not_available_is_asked_for_again(monkeypatch: pytest.MonkeyPatch):
    away = UnavailableError("gone")

    tally = await told(monkeypatch, ("", away), ("ab", away), ("ab", ""), ("abcd", "mv-1"))

    assert tally == Tally(answered={"mv-1": 1}, repeated=1, cut=2)
    assert broken_promises(Run(tally)) == ["2 streams were cut although no replica was killed"]
    assert broken_promises(Run(tally, replica_kills=1)) == []


@pytest.mark.parametrize(
    "calls",
    [
        [("", NotFoundError("no such model"))],
        [("ab", NotFoundError("no such model"))],
        [("", UnavailableError("gone"))] * callers.TRIES,
    ],
    ids=["refused", "refused midway", "never available"],
)
async def test_any_other_end_is_a_failed_request(
    monkeypatch: pytest.MonkeyPatch, calls: Sequence[tuple[str, str | DomainError]]
):
    tally = await told(monkeypatch, *calls)

    assert len(tally.failed) == 1
    assert broken_promises(Run(tally))


def test_a_run_without_answers_shows_nothing():
    assert broken_promises(Run(Tally())) == ["nothing was answered, so nothing was shown"]
