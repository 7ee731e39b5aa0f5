"""Use case: send every request that was not answered before, within a budget."""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass

from modelmill_documents.scripts import count_tokens
from modelmill_service_kit.errors import PreconditionError

from modelmill_cli.model_requests.answer_journal import AnswerJournal, JournalEntry
from modelmill_cli.model_requests.budget import Budget, Usage
from modelmill_cli.model_requests.chat_endpoint import (
    TOKENS_A_TOKEN,
    Endpoint,
    EndpointAnswer,
    EndpointError,
    RefusedRequestError,
)

MOST_REFUSED = 5
"""Requests that a model refuses before it answers one: then something else is wrong."""


@dataclass(frozen=True)
class ModelRequest:
    key: str
    """Of its answer in the journal."""
    prompt: str


@dataclass(frozen=True)
class RequestLimits:
    """How requests are sent."""

    answer_tokens: int
    """Most of one answer."""
    at_once: int
    budget: Budget
    remedy: str
    """What to do where the model refuses every request."""


class SendRequests:
    """Asks several at a time; what was answered is in the journal, however the work ends.

    Args:
        progress: Called with requests done and to do, in the caller's thread.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        journal: AnswerJournal,
        limits: RequestLimits,
        progress: Callable[[int, int], None],
    ) -> None:
        self._endpoint = endpoint
        self._journal = journal
        self._limits = limits
        self._progress = progress
        self.refused: list[str] = []
        """What the model said of requests that it refuses."""
        self.asked = 0
        """Requests that were answered in this run."""
        self._reserved: dict[Future[EndpointAnswer], Usage] = {}

    def __call__(self, requests: Sequence[ModelRequest]) -> bool:
        """Ask; whether everything is done. False: the budget is used up.

        What is being asked when something stops it is waited for and kept.

        Raises:
            EndpointError: The model answers nobody.
            PreconditionError: It refuses all requests.
        """
        unique = {each.key: each for each in requests}
        waiting = [each for each in unique.values() if each.key not in self._journal.entries]
        total, waiting = len(unique), waiting[::-1]
        running: dict[Future[EndpointAnswer], ModelRequest] = {}
        with ThreadPoolExecutor(self._limits.at_once) as pool:
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
        waiting: list[ModelRequest],
        running: dict[Future[EndpointAnswer], ModelRequest],
    ) -> bool:
        """Begin as many as there is room and budget for; whether any began."""
        began = False
        while waiting and len(running) < self._limits.at_once:
            prompt = waiting[-1].prompt
            most = Usage(count_tokens(prompt) * TOKENS_A_TOKEN, self._limits.answer_tokens)
            spent = sum(self._reserved.values(), self._journal.usage)
            if not self._limits.budget.admits(spent + most):
                return began
            future = pool.submit(self._endpoint.ask, prompt, self._limits.answer_tokens)
            running[future] = waiting.pop()
            self._reserved[future] = most
            began = True
        return began

    def _keep(
        self,
        future: Future[EndpointAnswer],
        running: dict[Future[EndpointAnswer], ModelRequest],
    ) -> None:
        request = running.pop(future)
        try:
            answer = future.result()
        except RefusedRequestError as refused:
            self.refused.append(str(refused))
            if len(self.refused) >= MOST_REFUSED and not self.asked:
                raise PreconditionError(
                    f"the {self._endpoint.role} refuses every request ({refused})."
                    f" {self._limits.remedy}"
                ) from refused
            return
        finally:
            self._reserved.pop(future)
        self.asked += 1
        self._journal.add(request.key, JournalEntry(answer.text, answer.model, answer.usage))


def failure_words(error: EndpointError, kept: int, total: int, what: str) -> str:
    """The error, and what of the work is kept."""
    return (
        f"{error.message}. {kept} of {total} {what} are done and kept: the same command goes on"
        " from there"
    )
