"""The two phases of an eval run: what is asked about each row, and what its answers mean."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modelmill_gateway.domain.eval_rows import (
    BY_MODEL,
    EvalRow,
    Grade,
    MissingPlaceError,
    NoGradeError,
    grade_said,
    graded,
    grading_request,
    looked_up,
    messages_of,
)

Answers = Mapping[str, Mapping[str, Any]]
"""Rows of the journal by their custom ids."""
SAMPLED = ("temperature", "top_p", "seed", "max_completion_tokens")


class SampleRows:
    """Each row is answered by the model of the data source; of type jsonl it has its sample."""

    name = "sample"

    def __init__(self, source: Mapping[str, Any]) -> None:
        self._source = source

    def requests(self, row: EvalRow) -> Iterator[tuple[str, dict[str, Any]]]:
        """Custom ids and bodies of chats."""
        if self._source["type"] != "completions" or row.error:
            return
        try:
            messages = self._messages(row)
        except MissingPlaceError as error:
            row.error = str(error)
            return
        sampling = self._source.get("sampling_params") or {}
        yield _sample_id(row), {**sampling, "model": self._source["model"], "messages": messages}

    def apply(self, row: EvalRow, answers: Answers) -> None:
        """Give the row its sample."""
        answer = answers.get(_sample_id(row))
        if answer is None:
            return
        row.shown = shown_sample(answer)
        row.error = row.shown["error"]["message"] if row.shown["error"] else ""
        if not row.error:
            text = row.shown["output"][0]["content"]
            row.sample = {"output_text": text, **_as_json(text)}

    def _messages(self, row: EvalRow) -> list[Any]:
        asked = self._source["input_messages"]
        if asked["type"] == "template":
            return messages_of(asked["template"], row.places)
        found = looked_up(asked["item_reference"], row.places)
        if not isinstance(found, list):
            raise MissingPlaceError(f"{asked['item_reference']} is no list of turns")
        return found


class GradeRows:
    """Each criterion says whether a row passes."""

    name = "grade"

    def __init__(self, criteria: Sequence[Mapping[str, Any]]) -> None:
        self._criteria = criteria

    def requests(self, row: EvalRow) -> Iterator[tuple[str, dict[str, Any]]]:
        """Custom ids and bodies of chats, for criteria that ask a model."""
        if row.error:
            return
        for place, criterion in enumerate(self._criteria):
            if criterion["type"] in BY_MODEL:
                try:
                    yield _grade_id(row, place), grading_request(criterion, row.places)
                except MissingPlaceError as error:
                    row.error = str(error)
                    return

    def apply(self, row: EvalRow, answers: Answers) -> None:
        """Give the row its grades, as far as there are any."""
        if row.error:
            return
        for place, criterion in enumerate(self._criteria):
            try:
                result = self._result(row, place, criterion, answers)
            except MissingPlaceError as error:
                row.error = f"{criterion['name']}: {error}"
                return
            if result is not None:
                row.results[criterion["name"]] = result

    def _result(
        self, row: EvalRow, place: int, criterion: Mapping[str, Any], answers: Answers
    ) -> dict[str, Any] | None:
        said: dict[str, Any] = {"name": criterion["name"], "type": criterion["type"]}
        if criterion["type"] not in BY_MODEL:
            grade = graded(criterion, row.places)
            return {**said, "passed": grade.passed, "score": grade.score}
        answer = answers.get(_grade_id(row, place))
        if answer is None:
            return None
        sample = shown_sample(answer)
        try:
            grade = _grade_in(sample, criterion)
        except NoGradeError as error:
            row.error, grade = f"{criterion['name']}: {error}", Grade(passed=False, score=0.0)
        return {**said, "passed": grade.passed, "score": grade.score, "sample": sample}


def _grade_in(sample: Mapping[str, Any], criterion: Mapping[str, Any]) -> Grade:
    if sample["error"]:
        raise NoGradeError(sample["error"]["message"])
    return grade_said(criterion, sample["output"][0]["content"])


def shown_sample(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked and answered, as OpenAI's API shows a sample."""
    asked, body = answer["asked"], answer["body"] or {}
    choice = (body.get("choices") or [{}])[0]
    message = choice.get("message") or {}
    failure = body.get("error")
    usage = body.get("usage") or {}
    counted = {
        each: usage.get(each, 0) for each in ("prompt_tokens", "completion_tokens", "total_tokens")
    }
    return {
        "error": {"code": failure["code"], "message": failure["message"]} if failure else None,
        "finish_reason": choice.get("finish_reason"),
        "input": asked["messages"],
        "model": asked["model"],
        "output": []
        if failure
        else [{"role": "assistant", "content": message.get("content") or ""}],
        "usage": None if failure else {**counted, "cached_tokens": 0},
        **{name: asked.get(name) for name in SAMPLED},
    }


def _as_json(text: str) -> dict[str, Any]:
    """What templates may name as `sample.output_json`; nothing when the text is none."""
    try:
        return {"output_json": json.loads(text)}
    except (ValueError, RecursionError):
        return {}


def _sample_id(row: EvalRow) -> str:
    return f"sample-{row.number}"


def _grade_id(row: EvalRow, place: int) -> str:
    return f"grade-{row.number}-{place}"
