"""What an evaluation leaves: results.json with all figures, rows.jsonl with each row's."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from modelmill_evaluation.row_outcome import RowOutcome

from modelmill_trainer.evaluating.figures import SIDES, MeasuredSuite
from modelmill_trainer.evaluating.items import Item

RESULTS, ROWS = "results.json", "rows.jsonl"


def write_results(folder: Path, results: Mapping[str, Any]) -> None:
    """All figures."""
    text = json.dumps(results, ensure_ascii=False, indent=1, allow_nan=False)
    (folder / RESULTS).write_text(text + "\n", "utf-8")


def write_rows(folder: Path, suites: Sequence[MeasuredSuite]) -> None:
    """A line a row: the right answer, and what each model said and how good it was."""
    with (folder / ROWS).open("x", encoding="utf-8") as file:
        for suite in suites:
            for line in _lines(suite):
                file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")


def summary_of(results: Mapping[str, Any]) -> dict[str, Any]:
    """What the job's record has: no slices, and no word of any row."""
    return {
        "models": results["models"],
        "suites": {
            suite["name"]: {name: suite[name] for name in ("rows", "measures", "shown")}
            for suite in results["suites"]
        },
        "protections": results["protections"],
        "passed": results["passed"],
    }


def _lines(suite: MeasuredSuite) -> Iterator[dict[str, Any]]:
    sides = range(len(suite.outcomes))
    values = [{name: suite.row_values(name, s) for name in suite.statistics} for s in sides]
    for place, item in enumerate(suite.suite.items):
        line: dict[str, Any] = {
            "suite": suite.suite.name,
            "row": item.key,
            "prompt_sha256": hashlib.sha256(item.prompt.says.encode()).hexdigest(),
            "reference": item.reference,
        }
        for side in sides:
            scores = {
                name: of_rows[place]
                for name, of_rows in values[side].items()
                if of_rows[place] is not None
            }
            line[SIDES[side]] = _said(item, suite.outcomes[side][place]) | {"scores": scores}
        yield line


def _said(item: Item, outcome: RowOutcome) -> dict[str, Any]:
    said: dict[str, Any] = {"answer": outcome.answer}
    if outcome.log_likelihood is not None:
        said |= {"log_likelihood": outcome.log_likelihood, "tokens": outcome.tokens}
    if outcome.choice_scores is not None and outcome.chosen is not None:
        said |= {
            "chosen": item.choices[outcome.chosen],
            "choice_scores": list(outcome.choice_scores),
        }
    return said
