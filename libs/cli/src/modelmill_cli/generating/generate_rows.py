"""Use case: ask a teacher about every passage that it was not asked about before."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from modelmill_documents.scripts import count_tokens
from modelmill_service_kit.errors import PreconditionError

from modelmill_cli.generating.answer_journal import AnswerJournal, PassageAnswers
from modelmill_cli.generating.budget import Budget, Usage
from modelmill_cli.generating.prompts import VERSION, Kind, pairs_in, prompt
from modelmill_cli.generating.source_passages import SourcePassage
from modelmill_cli.generating.teacher import (
    TOKENS_A_TOKEN,
    RefusedPassageError,
    Teacher,
    TeacherAnswer,
    TeacherError,
)

MOST_REFUSED = 5
"""Passages that a teacher refuses before it answers one: then something else is wrong."""


@dataclass(frozen=True)
class GenerationPlan:
    """How each passage is asked about."""

    kind: Kind
    per_passage: int
    answer_tokens: int
    """Most of one answer."""
    at_once: int
    budget: Budget

    def key(self, passage: SourcePassage, teacher: str) -> str:
        """Of the request; another teacher, kind or count asks anew."""
        parts = (VERSION, teacher, self.kind, self.per_passage, passage.digest)
        return hashlib.sha256(repr(parts).encode()).hexdigest()


class GenerateRows:
    """Asks several at a time; what was answered is in the journal, however the work ends.

    Args:
        progress: Called with passages done and to do, in the caller's thread.
    """

    def __init__(
        self,
        teacher: Teacher,
        journal: AnswerJournal,
        plan: GenerationPlan,
        progress: Callable[[int, int], None],
    ) -> None:
        self._teacher = teacher
        self._journal = journal
        self._plan = plan
        self._progress = progress
        self.refused: list[str] = []
        """What the teacher said of requests that it refuses."""
        self.asked = 0
        """Requests that were answered in this run."""
        self._reserved: dict[Future[TeacherAnswer], Usage] = {}

    def answered(
        self, passages: Sequence[SourcePassage]
    ) -> Iterator[tuple[SourcePassage, PassageAnswers]]:
        """Passages with what the teacher said of them, in order."""
        for passage in passages:
            entry = self._journal.entries.get(self._plan.key(passage, self._teacher.name))
            if entry is not None:
                yield passage, entry

    def __call__(self, passages: Sequence[SourcePassage]) -> bool:
        """Ask; whether everything is done. False: the budget is used up.

        What is being asked when something stops it is waited for and kept.

        Raises:
            TeacherError: The teacher answers nobody.
            PreconditionError: It refuses all requests.
        """
        waiting = [each for each in passages if self._key(each) not in self._journal.entries]
        total, waiting = len(passages), waiting[::-1]
        running: dict[Future[TeacherAnswer], SourcePassage] = {}
        with ThreadPoolExecutor(self._plan.at_once) as pool:
            try:
                while self._start(pool, waiting, running) or running:
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        self._keep(future, running)
                    self._progress(total - len(waiting) - len(running), total)
            except BaseException:
                for future in list(running):
                    with suppress(Exception):
                        self._keep(future, running)
                raise
        return not waiting

    def _start(
        self,
        pool: ThreadPoolExecutor,
        waiting: list[SourcePassage],
        running: dict[Future[TeacherAnswer], SourcePassage],
    ) -> bool:
        """Begin as many as there is room and budget for; whether any began."""
        began = False
        while waiting and len(running) < self._plan.at_once:
            text = prompt(waiting[-1].text, self._plan.kind, self._plan.per_passage)
            most = Usage(count_tokens(text) * TOKENS_A_TOKEN, self._plan.answer_tokens)
            spent = sum(self._reserved.values(), self._journal.usage)
            if not self._plan.budget.admits(spent + most):
                return began
            future = pool.submit(self._teacher.ask, text, self._plan.answer_tokens)
            running[future] = waiting.pop()
            self._reserved[future] = most
            began = True
        return began

    def _keep(
        self,
        future: Future[TeacherAnswer],
        running: dict[Future[TeacherAnswer], SourcePassage],
    ) -> None:
        passage = running.pop(future)
        try:
            answer = future.result()
        except RefusedPassageError as refused:
            self.refused.append(str(refused))
            if len(self.refused) >= MOST_REFUSED and not self.asked:
                raise PreconditionError(
                    f"the teacher refuses every request ({refused}). Give another one, or shorter"
                    " passages by --passage-tokens"
                ) from refused
            return
        finally:
            self._reserved.pop(future)
        self.asked += 1
        self._journal.add(self._key(passage), PassageAnswers(pairs_in(answer.text), answer.usage))

    def _key(self, passage: SourcePassage) -> str:
        return self._plan.key(passage, self._teacher.name)


def failure_words(error: TeacherError, kept: int, total: int) -> str:
    """The error, and what of the work is kept."""
    return (
        f"{error.message}. {kept} of {total} passages are done and kept: the same command goes on"
        " from there"
    )


def usage_document(usage: Usage, budget: Budget) -> dict[str, Any]:
    """For programs."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost": round(budget.cost(usage), 6),
    }
