"""Use case: ask a teacher about every passage that it was not asked about before."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from modelmill_cli.generating.prompts import VERSION, Kind, prompt
from modelmill_cli.generating.source_passages import SourcePassage
from modelmill_cli.model_requests.answer_journal import AnswerJournal, JournalEntry
from modelmill_cli.model_requests.budget import Budget
from modelmill_cli.model_requests.chat_endpoint import Endpoint
from modelmill_cli.model_requests.send_requests import ModelRequest, RequestLimits, SendRequests

REMEDY = "Give another one, or shorter passages by --passage-tokens"


@dataclass(frozen=True)
class GenerationPlan:
    """How each passage is asked about."""

    kind: Kind
    per_passage: int
    answer_tokens: int
    """Most of one answer."""
    at_once: int
    budget: Budget

    def request(self, passage: SourcePassage, teacher: str) -> ModelRequest:
        """Another teacher, kind or count asks anew."""
        parts = (VERSION, teacher, self.kind, self.per_passage, passage.digest)
        key = hashlib.sha256(repr(parts).encode()).hexdigest()
        return ModelRequest(key, prompt(passage.text, self.kind, self.per_passage))


class GenerateRows:
    """Asks a teacher about passages; what was answered is in the journal.

    Args:
        progress: Called with passages done and to do, in the caller's thread.
    """

    def __init__(
        self,
        teacher: Endpoint,
        journal: AnswerJournal,
        plan: GenerationPlan,
        progress: Callable[[int, int], None],
    ) -> None:
        self._teacher = teacher
        self._journal = journal
        self._plan = plan
        limits = RequestLimits(plan.answer_tokens, plan.at_once, plan.budget, REMEDY)
        self.requests = SendRequests(teacher, journal, limits, progress)

    def answered(
        self, passages: Sequence[SourcePassage]
    ) -> Iterator[tuple[SourcePassage, JournalEntry]]:
        """Passages with what the teacher said of them, in order."""
        for passage in passages:
            request = self._plan.request(passage, self._teacher.name)
            entry = self._journal.entries.get(request.key)
            if entry is not None:
                yield passage, entry

    def __call__(self, passages: Sequence[SourcePassage]) -> bool:
        """Ask; whether everything is done. False: the budget is used up.

        Raises:
            EndpointError: The teacher answers nobody.
            PreconditionError: It refuses all requests.
        """
        return self.requests([self._plan.request(each, self._teacher.name) for each in passages])
