"""Rows of an eval run: read, sampled, graded, counted."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
