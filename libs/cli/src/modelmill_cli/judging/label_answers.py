"""Use case: labels of answers, asked of a judge or known from before."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from modelmill_client import Modelmill
from modelmill_recipes.orders import version_of
from modelmill_service_kit.errors import PreconditionError

from modelmill_cli.errors import WorkFailedError
from modelmill_cli.judging.grading_prompts import (
    PROMPT_VERSION,
    GradedAnswer,
    answer_schema,
    grading_prompt,
    label_in,
)
from modelmill_cli.judging.judge import AnswerJudge, JudgeVersion
from modelmill_cli.model_requests.answer_journal import AnswerJournal, JournalEntry
from modelmill_cli.model_requests.budget import Usage
from modelmill_cli.model_requests.chat_endpoint import (
    ChatEndpoint,
    Endpoint,
    EndpointError,
    EndpointWords,
    external_client,
)
from modelmill_cli.model_requests.send_requests import (
    ModelRequest,
    RequestLimits,
    SendRequests,
    failure_words,
)

Progress = Callable[[int, int], None]
MOST_SHOWN = 80


@dataclass
class Labels:
    """Labels of answers, in their order; None where the judge gave none."""

    labels: list[str | None]
    models: Counter[str] = field(default_factory=Counter)
    """What answered, as the endpoint named it."""
    refused: int = 0
    """Requests that the judge refused."""
    refusal: str = ""
    """What it said of the last of them."""
    usage: Usage = field(default_factory=Usage)
    """Of all that was ever asked of this journal."""

    @property
    def unlabelled(self) -> int:
        return self.labels.count(None)


def version_of_judge(judge: AnswerJudge, client: Modelmill) -> JudgeVersion:
    """What its labels depend on; an alias is looked up."""
    return JudgeVersion(
        model=judge.model,
        version_id="" if judge.url else version_of(client, judge.model),
        url=judge.url,
        rubric_sha256=hashlib.sha256(judge.rubric.encode()).hexdigest(),
        labels=judge.labels,
        prompt_version=PROMPT_VERSION,
    )


def endpoint_of(judge: AnswerJudge, version: JudgeVersion, client: Modelmill) -> ChatEndpoint:
    """Where the judge is asked.

    Raises:
        InvalidInputError: the address is none, or the key would be sent without encryption.
        OSError: the key file cannot be read.
    """
    where = f"in {judge.file.name}"
    words = EndpointWords("judge", f"`url` {where}", f"`key_file` {where}", f"`at_once` {where}")
    if judge.url:
        connect = external_client(judge.url, judge.key_file, words)
        return ChatEndpoint(
            connect, judge.model, judge.url, None, words, timeout_seconds=judge.timeout_seconds
        )
    return ChatEndpoint(
        client.openai,
        version.version_id,
        client.url,
        answer_schema([*judge.labels]),
        words,
        timeout_seconds=judge.timeout_seconds,
    )


def label_answers(
    judge: AnswerJudge,
    version: JudgeVersion,
    endpoint: Endpoint,
    answers: Sequence[GradedAnswer],
    progress: Progress,
    *,
    needs_labels: bool = True,
) -> Labels:
    """Ask the judge about every answer that it was not asked about before.

    Args:
        needs_labels: Whether it is an error that no answer gets a label.

    Raises:
        WorkFailedError: it answers nobody any more, the budget is used up, or it gives no labels;
            what was answered is kept.
        PreconditionError: the same before it answered anything.
    """
    requests = [_request(version, each, judge) for each in answers]
    with AnswerJournal(judge.journal_file) as journal:
        send = SendRequests(endpoint, journal, _limits(judge), progress)
        try:
            is_done = send(requests)
        except EndpointError as error:
            kept = sum(each.key in journal.entries for each in requests)
            if not kept:
                raise PreconditionError(f"{error.message}. Nothing was judged") from error
            words = failure_words(error, kept, len(requests), "answers")
            raise WorkFailedError(words) from error
        found = [journal.entries.get(each.key) for each in requests]
        if not is_done:
            raise WorkFailedError(_budget_words(judge, sum(map(bool, found)), len(found)))
        labels = _labels_of(judge, found, journal.usage, send.refused)
    if needs_labels:
        _check(judge, labels, found)
    return labels


def _labels_of(
    judge: AnswerJudge,
    found: Sequence[JournalEntry | None],
    usage: Usage,
    refused: Sequence[str],
) -> Labels:
    names = [*judge.labels]
    return Labels(
        labels=[None if entry is None else label_in(entry.text, names) for entry in found],
        models=Counter(entry.model for entry in found if entry is not None),
        refused=found.count(None),
        refusal=refused[-1] if refused else "",
        usage=usage,
    )


def _check(judge: AnswerJudge, labels: Labels, found: Sequence[JournalEntry | None]) -> None:
    """Refuse a judge that labels nothing."""
    if any(labels.labels):
        return
    said = next((entry.text for entry in found if entry is not None), None)
    if said is None:
        raise PreconditionError(
            f"the judge refuses every request ({labels.refusal}). {_limits(judge).remedy}"
        )
    raise WorkFailedError(
        f"the judge gave none of its labels; it said {said[:MOST_SHOWN]!r}. Take a model that"
        " follows instructions, or make the rubric plainer"
    )


def _limits(judge: AnswerJudge) -> RequestLimits:
    remedy = f"Name another model in {judge.file.name}, or shorten the rubric"
    return RequestLimits(judge.answer_tokens, judge.at_once, judge.budget, remedy)


def _request(version: JudgeVersion, graded: GradedAnswer, judge: AnswerJudge) -> ModelRequest:
    prompt = (
        grading_prompt(graded, judge.rubric, [*judge.labels]).encode("utf-8", "replace").decode()
    )
    key = hashlib.sha256(f"{version.digest}\0{prompt}".encode()).hexdigest()
    return ModelRequest(key, prompt)


def _budget_words(judge: AnswerJudge, kept: int, total: int) -> str:
    return (
        f"the budget is used up: {kept} of {total} answers are judged and kept. A larger `budget`"
        f" in {judge.file.name} goes on from there"
    )
