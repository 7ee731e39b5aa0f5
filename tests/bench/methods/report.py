"""What a bench ends with: a table for each task, on the terminal, as Markdown and as JSON."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelmill_cli.demo.report import machine_facts
from rich.console import Console
from rich.table import Table

from tests.bench.methods.drawing import draw
from tests.bench.methods.matrix import ArmResult, Interval, TaskResult
from tests.bench.methods.recipe import Recipe

COLUMNS = (
    "arm", "answers right (95 %)", "points over the base (95 %)", "training s", "core s",
    "tokens", "TFLOP", "memory GiB", "trained weights", "artifact MB", "money",
)  # fmt: skip
NOTES = (
    "Answers right: the likeliest of all answers, summed over its tokens, asked of inference as it "
    "serves each version (`/v1/evaluations`), all arms on the same test rows. Intervals are of the "
    "choice of test rows (bootstrap; rows paired where two are compared), not of seeds. Cost is of "
    "the training job alone: loading and saving are in core seconds, not in training seconds. In "
    "the drawing the band is the base, and the dotted line who always says the commonest answer."
)


def print_report(console: Console, results: Sequence[TaskResult]) -> None:
    """All tables again, in one piece."""
    console.rule("[bold]what this bench measured")
    for result in results:
        console.print(task_table(result))


def task_table(result: TaskResult) -> Table:
    """A task's arms for the terminal."""
    table = Table(*COLUMNS, title=result.title, caption=_rows_words(result))
    for arm in result.arms:
        table.add_row(*_cells(arm))
    return table


def write_report(folder: Path, recipe: Recipe, results: Sequence[TaskResult]) -> Iterator[Path]:
    """Write `methods.json`, `methods.md` and `methods.svg`, and name them."""
    folder.mkdir(parents=True, exist_ok=True)
    circumstances = _circumstances()
    content: dict[str, Any] = {
        **circumstances,
        "recipe": recipe.model_dump(),
        "tasks": [asdict(result) for result in results],
    }
    as_json = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    for name, text in (
        (f"{recipe.name}.json", as_json),
        (f"{recipe.name}.md", as_markdown(recipe, results, circumstances)),
        (f"{recipe.name}.svg", draw(results)),
    ):
        (folder / name).write_text(text, "utf-8")
        yield folder / name


def as_markdown(
    recipe: Recipe, results: Sequence[TaskResult], circumstances: Mapping[str, Any]
) -> str:
    """The tables, with what they were measured on."""
    machine = circumstances["machine"]
    parts = [
        f"# {recipe.title}\n",
        f"Base {recipe.base}; {machine['processor']}, {machine['platform']}; "
        f"commit {circumstances['commit']}, {circumstances['date']}.\n",
        f"{NOTES}\n",
        f"![]({recipe.name}.svg)\n",
    ]
    for result in results:
        parts += [f"## {result.title}\n", f"{_rows_words(result)}\n"]
        parts += ["\n".join(_markdown_rows(result)) + "\n"]
    return "\n".join(parts)


def arm_words(arm: ArmResult) -> str:
    """An arm with what it is not by its name alone."""
    after = f" after {arm.after}" if arm.after else ""
    return f"{arm.name}{after}, seed {arm.seed}" if arm.method else arm.name


def _markdown_rows(result: TaskResult) -> Iterator[str]:
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{'---|' * len(COLUMNS)}"
    for arm in result.arms:
        yield f"| {' | '.join(_cells(arm))} |"
    yield ""
    yield "| arm | method | objective | choices |"
    yield "|---|---|---|---|"
    for arm in result.arms[1:]:
        chosen = ", ".join(f"{name} {value}" for name, value in arm.hyper_parameters.items())
        yield f"| {arm_words(arm)} | {arm.method} | {arm.objective} | {chosen} |"


def _rows_words(result: TaskResult) -> str:
    rows = ", ".join(f"{count:,} {split}" for split, count in result.rows.items())
    return (
        f"Rows: {rows}; {result.answers} different answers in the test rows, the commonest alone"
        f" is right in {result.commonest:.1%}"
    )


def _cells(arm: ArmResult) -> list[str]:
    cost = arm.cost
    return [
        arm_words(arm),
        _interval(arm.accuracy, "%"),
        _interval(arm.over_base, "") if arm.over_base else "",
        _number(cost, "train_seconds", "{:,.0f}"),
        _number(cost, "unit_seconds", "{:,.0f}"),
        _number(cost, "train_tokens", "{:,.0f}"),
        _number(cost, "flops", "{:,.1f}", 1e12),
        _number(cost, "peak_memory_bytes", "{:.2f}", 2**30),
        _number(cost, "trained_weights", "{:,.0f}"),
        _number(cost, "artifact_bytes", "{:,.1f}", 1e6),
        f"{cost['cost']:.4f} {cost['currency']}" if "cost" in cost else "",
    ]


def _interval(shares: Interval, unit: str) -> str:
    value, low, high = (100 * shares[name] for name in ("value", "low", "high"))
    if unit:
        return f"{value:.1f} % ({low:.1f} to {high:.1f})"
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def _number(cost: Mapping[str, Any], name: str, form: str, unit: float = 1.0) -> str:
    return form.format(cost[name] / unit) if name in cost else ""


def _circumstances() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("describe", "--always", "--dirty", "--abbrev=7"),
        "machine": machine_facts(),
    }


def _git(*words: str) -> str:
    """What git says of the working folder; empty where there is no clone."""
    try:
        asked = subprocess.run(
            ["git", *words], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip()
