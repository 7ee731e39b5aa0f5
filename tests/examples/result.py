"""What a full run of an example measured: the document `expected.json`, and its line in a table."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from modelmill_client import Modelmill
from modelmill_evaluation.score_names import LOWER_IS_BETTER
from modelmill_recipes.run_recipe import RecipeResult

from tests.examples.example import EXAMPLES, EXPECTED, Document, Example

DATASET = "dataset"
"""The suite of the rows of a dataset."""
HOW = (
    "evaluation of the recipe: rows of the test split, asked of both models as they are served;"
    " 95 % intervals by the bootstrap over rows"
)
BEGINS = "<!-- measured: `make examples-keep` writes this table -->"
ENDS = "<!-- end of what was measured -->"
HEAD = "| example | figure | value (95 % interval) | compared to | difference | minutes |"
UNMEASURED = "not measured yet"


def figures_of(example: Example, made: RecipeResult) -> list[Document]:
    """Each figure of the example's evaluation, beside the model that it is compared to."""
    measured = made.evaluation["suites"][DATASET]["measures"]
    return [
        {
            "name": name,
            **_numbers(measured[name]["model"]),
            "rows": int(measured[name]["model"]["rows"]),
            "how": HOW,
            "compared_to": {"model": example.compared_to, **_numbers(measured[name]["compare_to"])},
            "difference": _numbers(measured[name]["comparison"]["difference"]),
        }
        for name in example.measures
    ]


def _numbers(estimate: Mapping[str, Any]) -> dict[str, float]:
    return {name: round(float(estimate[name]), 4) for name in ("value", "low", "high")}


def work_seconds(client: Modelmill, made: RecipeResult) -> float:
    """What the jobs of a run took together, also those of an earlier run that it kept."""
    jobs = [told.job_id for told in made.steps.values() if told.job_id]
    return sum(float(client.jobs.retrieve(job)["cost"]["work_seconds"]) for job in jobs)


def is_better(figure: Mapping[str, Any]) -> bool:
    """Whether the interval of the difference lies on the good side of 0."""
    difference = figure["difference"]
    if figure["name"] in LOWER_IS_BETTER:
        return float(difference["high"]) < 0
    return float(difference["low"]) > 0


def write_expected(example: Example, document: Document) -> None:
    """Write what is expected of an example."""
    text = json.dumps(document, ensure_ascii=False, indent=1) + "\n"
    (example.folder / EXPECTED).write_text(text, "utf-8")


def write_table(examples: Iterable[Example]) -> None:
    """Write the table of all examples into their README."""
    readme = EXAMPLES / "README.md"
    before, _, rest = readme.read_text("utf-8").partition(BEGINS)
    after = rest.partition(ENDS)[2]
    readme.write_text(f"{before}{table_of(examples)}{after}", "utf-8")


def table_of(examples: Iterable[Example]) -> str:
    """The table, between its marks."""
    lines = [BEGINS, "", HEAD, "|---" * HEAD.count(" | ") + "|---|", *_lines(examples), "", ENDS]
    return "\n".join(lines)


def _lines(examples: Iterable[Example]) -> Iterator[str]:
    for example in sorted(examples, key=lambda it: it.name):
        expected = example.expected()
        if expected["measured"] is None:
            yield f"| {example.name} | {UNMEASURED} | | | | |"
        for number, figure in enumerate(expected["figures"]):
            first = number == 0
            minutes = f"{expected['measured']['seconds'] / 60:.1f}" if first else ""
            yield f"| {example.name if first else ''} | {_cells(figure)} | {minutes} |"


def _cells(figure: Mapping[str, Any]) -> str:
    other = figure.get("compared_to")
    cells = [figure["name"], _interval(figure), "", ""]
    if other:
        cells[2] = f"{other['model']}: {_interval(other)}"
        cells[3] = _interval(figure["difference"])
    return " | ".join(cells)


def _interval(numbers: Mapping[str, float]) -> str:
    return "{value:g} ({low:g} to {high:g})".format(**numbers)
