"""The plan of a recipe as a table: what is kept, what is to be done, and what that will take."""

from dataclasses import asdict

from modelmill_job_index.job_estimates import StepEstimate
from modelmill_recipes.plan_recipe import RecipePlan
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from modelmill_cli.job_words import duration_words
from modelmill_cli.tables import data_size, print_table

UNKNOWN = "unknown"
SECONDS_OF_AN_HOUR = 3600


def print_plan(plan: RecipePlan, console: Console, hourly_rate: float) -> None:
    """Print it.

    Args:
        hourly_rate: Price of an hour of the machine, in whatever currency; 0 where nobody knows.
    """
    table = Table("step", "", "rows", "tokens", "memory", "time", "cost", "time from", "")
    for each in plan.steps:
        cells = _cells(each.estimate, hourly_rate) if each.estimate else [""] * 6
        table.add_row(each.step, "kept" if each.is_kept else "do", *cells, escape(each.words))
    print_table(table)
    if plan.seconds:
        cost = _cost(plan.seconds, hourly_rate)
        console.print(f"together: {duration_words(plan.seconds)}, cost {cost}", soft_wrap=True)
    if plan.seconds != 0 and not hourly_rate:
        console.print("cost: time by the price of an hour. Give it as --hourly-rate")
    for note in plan.notes:
        console.print(escape(note), soft_wrap=True)


def plan_document(plan: RecipePlan, hourly_rate: float) -> dict[str, object]:
    """The same for programs; null is not known."""
    return {
        "steps": [
            {
                "step": each.step,
                "state": "kept" if each.is_kept else "do",
                "words": each.words,
                "estimate": _figures(each.estimate, hourly_rate) if each.estimate else None,
            }
            for each in plan.steps
        ],
        "seconds": plan.seconds,
        "cost": _price(plan.seconds, hourly_rate),
        "notes": plan.notes,
    }


def _figures(estimate: StepEstimate, hourly_rate: float) -> dict[str, object]:
    return {**asdict(estimate), "cost": _price(estimate.seconds, hourly_rate)}


def _cells(estimate: StepEstimate, hourly_rate: float) -> list[str]:
    memory, seconds = estimate.memory_bytes, estimate.seconds
    return [
        f"{estimate.rows:,}" if estimate.rows is not None else UNKNOWN,
        f"{estimate.tokens:,}" if estimate.tokens is not None else "",
        data_size(memory) if memory is not None else UNKNOWN,
        duration_words(seconds) if seconds is not None else UNKNOWN,
        _cost(seconds, hourly_rate),
        estimate.basis,
    ]


def _cost(seconds: float | None, hourly_rate: float) -> str:
    price = _price(seconds, hourly_rate)
    return UNKNOWN if price is None else f"{price:.4g}"


def _price(seconds: float | None, hourly_rate: float) -> float | None:
    if seconds is None or not hourly_rate:
        return None
    return seconds / SECONDS_OF_AN_HOUR * hourly_rate
