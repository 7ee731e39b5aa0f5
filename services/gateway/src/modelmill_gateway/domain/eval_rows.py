"""Rows of an eval: read, put into templates, graded by criteria, and counted."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from modelmill_evaluation.rouge import rouge_l, rouge_n

MAX_ROWS = 5_000
MAX_ROW_BYTES = 1 << 20
MOST_FAULTS = 5
"""Of rows that are not as the schema says: more are not looked for."""
PASS, FAIL, ERROR = "pass", "fail", "error"


class BadRowsError(Exception):
    """The file is none of an eval's rows."""


@dataclass
class EvalRow:
    """One row, and what became of it."""

    number: int
    item: dict[str, Any]
    sample: dict[str, Any] | None
    """What a template may name as `sample`; None before there is any."""
    shown: dict[str, Any] | None = None
    """The sample as OpenAI's API shows it."""
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By the name of the criterion."""
    error: str = ""

    @property
    def places(self) -> dict[str, Any]:
        """What templates may name."""
        return {"item": self.item, **({"sample": self.sample} if self.sample is not None else {})}

    @property
    def status(self) -> str:
        """Passed only if every criterion is."""
        if self.error:
            return ERROR
        return PASS if all(each["passed"] for each in self.results.values()) else FAIL


def read_rows(
    lines: Iterable[bytes], wrong: Callable[[Mapping[str, Any], int], str] | None = None
) -> list[EvalRow]:
    """Every row of a file, held against what says what is wrong with an item of so many bytes.

    Raises:
        BadRowsError: a line is none, the first is named; or items are wrong, the first are named.
    """
    rows: list[EvalRow] = []
    faults: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if len(rows) == MAX_ROWS:
            raise BadRowsError(f"a run has at most {MAX_ROWS} rows")
        rows.append(_row(number, line, len(rows)))
        if wrong is not None and (fault := wrong(rows[-1].item, len(line))):
            faults.append(f"line {number}: {fault}")
            if len(faults) == MOST_FAULTS:
                break
    if faults:
        raise BadRowsError("; ".join(faults))
    if not rows:
        raise BadRowsError("the file has no rows")
    return rows


def _row(number: int, line: bytes, index: int) -> EvalRow:
    try:
        read = json.loads(line) if len(line) <= MAX_ROW_BYTES else None
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict) or not isinstance(read.get("item"), dict):
        raise BadRowsError(f"line {number} is no JSON object with an object `item`")
    sample = read.get("sample")
    if sample is not None and not isinstance(sample, dict):
        raise BadRowsError(f"line {number}: `sample` is no object")
    return EvalRow(index, read["item"], sample)


def item_schema_of(data_source_config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of items, in what is kept of an eval's data source."""
    schema: Mapping[str, Any] = data_source_config["schema"]["properties"]["item"]
    return schema


def results_of(rows: Sequence[EvalRow], criteria: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What OpenAI's API shows of all rows together."""
    statuses = Counter(row.status for row in rows)
    return {
        "result_counts": {
            "total": len(rows),
            "passed": statuses[PASS],
            "failed": statuses[FAIL],
            "errored": statuses[ERROR],
        },
        "per_testing_criteria_results": [_of_criterion(rows, each["name"]) for each in criteria],
        "per_model_usage": _usage(rows),
    }


def _of_criterion(rows: Sequence[EvalRow], name: str) -> dict[str, Any]:
    said = [row.results[name]["passed"] for row in rows if name in row.results]
    return {"testing_criteria": name, "passed": sum(said), "failed": len(said) - sum(said)}


def _usage(rows: Sequence[EvalRow]) -> list[dict[str, Any]]:
    """Of every model that sampled or graded."""
    samples = [row.shown for row in rows] + [
        result.get("sample") for row in rows for result in row.results.values()
    ]
    used: dict[str, Counter[str]] = {}
    for sample in samples:
        if sample is not None and sample.get("usage"):
            counts = used.setdefault(sample["model"], Counter())
            counts.update(sample["usage"] | {"invocation_count": 1})
    return [{"model_name": model, **counts} for model, counts in sorted(used.items())]


PLACE = re.compile(r"\{\{\s*([A-Za-z_][\w.]*)\s*\}\}")


class MissingPlaceError(Exception):
    """A row has nothing for a place of a template."""


def filled(template: str, row: Mapping[str, Any]) -> str:
    """The template with what the row has in its places; nothing of that is a template again.

    Raises:
        MissingPlaceError: the row has nothing there.
    """
    return PLACE.sub(lambda found: _written(looked_up(found[1], row)), template)


def looked_up(path: str, row: Mapping[str, Any]) -> Any:
    """What is at `item.a.b`, or of a list at `item.a.0`.

    Raises:
        MissingPlaceError: nothing is.
    """
    at: Any = row
    for step in path.split("."):
        if isinstance(at, Mapping) and step in at:
            at = at[step]
        elif isinstance(at, Sequence) and not isinstance(at, str) and step.isdecimal():
            if int(step) >= len(at):
                raise MissingPlaceError(f"nothing is at {path}")
            at = at[int(step)]
        else:
            raise MissingPlaceError(f"nothing is at {path}")
    return at


def messages_of(written: Sequence[Mapping[str, Any]], row: Mapping[str, Any]) -> list[Any]:
    """Turns of a conversation, their texts filled."""
    return [{"role": turn["role"], "content": filled(turn["content"], row)} for turn in written]


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


STRING_CHECK, TEXT_SIMILARITY = "string_check", "text_similarity"
SCORE_MODEL, LABEL_MODEL = "score_model", "label_model"
BY_MODEL = (SCORE_MODEL, LABEL_MODEL)

SIMILARITIES: dict[str, Callable[[str, str], float]] = {
    **{f"rouge_{n}": partial(rouge_n, n=n) for n in range(1, 6)},
    "rouge_l": rouge_l,
}
"""From 0 to 1; of OpenAI's names those that `libs/evaluation` measures without a corpus."""

OPERATIONS: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda said, right: said == right,
    "ne": lambda said, right: said != right,
    "like": lambda said, right: right in said,
    "ilike": lambda said, right: right.casefold() in said.casefold(),
}

GRADE_TOKENS = 32
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
HOW_TO_SCORE = "Answer with one number from {low:g} to {high:g} and nothing else."


@dataclass(frozen=True)
class Grade:
    """Grade that one criterion gives to one answer."""

    passed: bool
    score: float


class NoGradeError(Exception):
    """The model that was to grade did not."""


def graded(criterion: Mapping[str, Any], row: Mapping[str, Any]) -> Grade:
    """What a criterion says that asks no model.

    Raises:
        MissingPlaceError: the row lacks something that the criterion names.
    """
    said, right = filled(criterion["input"], row), filled(criterion["reference"], row)
    if criterion["type"] == STRING_CHECK:
        passed = OPERATIONS[criterion["operation"]](said, right)
        return Grade(passed, float(passed))
    score = SIMILARITIES[criterion["evaluation_metric"]](said, right)
    return Grade(score >= criterion["pass_threshold"], score)


def grading_request(criterion: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """Body of the chat that asks a model for its grade.

    Raises:
        MissingPlaceError: the row lacks something that the criterion names.
    """
    messages = messages_of(criterion["input"], row)
    body: dict[str, Any] = {"model": criterion["model"], "max_completion_tokens": GRADE_TOKENS}
    if criterion["type"] == LABEL_MODEL:
        return {
            **body,
            "messages": messages,
            "temperature": 0,
            "guided_choice": criterion["labels"],
        }
    low, high = range_of(criterion)
    # In the last turn: many templates of chats refuse two of one role in a row.
    messages[-1]["content"] += "\n\n" + HOW_TO_SCORE.format(low=low, high=high)
    sampling = {"temperature": 0, **(criterion.get("sampling_params") or {})}
    return {**body, **sampling, "messages": messages, "guided_regex": NUMBER.pattern}


def grade_said(criterion: Mapping[str, Any], text: str) -> Grade:
    """The grade in a model's answer.

    Raises:
        NoGradeError: there is none in it, or one that is none of its grades.
    """
    said = text.strip()
    if criterion["type"] == LABEL_MODEL:
        if said not in criterion["labels"]:
            raise NoGradeError(f"the model answered {said[:80]!r}, which is no label")
        passed = said in criterion["passing_labels"]
        return Grade(passed, float(passed))
    found = NUMBER.search(said)
    low, high = range_of(criterion)
    if found is None or not low <= float(found[0]) <= high:
        raise NoGradeError(
            f"the model answered {said[:80]!r}, not a number from {low:g} to {high:g}"
        )
    score = float(found[0])
    return Grade(score >= threshold_of(criterion), score)


def range_of(criterion: Mapping[str, Any]) -> tuple[float, float]:
    """Lowest and highest score; 0 and 1 when nothing is said."""
    low, high = criterion.get("range") or (0.0, 1.0)
    return float(low), float(high)


def threshold_of(criterion: Mapping[str, Any]) -> float:
    """From which score on it is passed: the middle of the range when nothing is said."""
    given = criterion.get("pass_threshold")
    return float(given) if given is not None else sum(range_of(criterion)) / 2
