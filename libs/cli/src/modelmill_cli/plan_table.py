"""The plan of a recipe as a table: what is kept, what is to be done, and what that will take."""

from modelmill_recipes.estimate import StepEstimate
from modelmill_recipes.plan_recipe import RecipePlan
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from modelmill_cli.job_words import duration_words
from modelmill_cli.tables import megabytes, print_table

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
    taken = [each.estimate.seconds for each in plan.steps if each.estimate]
    known = [seconds for seconds in taken if seconds is not None]
    if known and len(known) == len(taken):
        cost = _cost(sum(known), hourly_rate)
        console.print(f"together: {duration_words(sum(known))}, cost {cost}", soft_wrap=True)
    if taken and not hourly_rate:
        console.print("cost: time by the price of an hour. Give it as --hourly-rate")
    for note in plan.notes:
        console.print(escape(note), soft_wrap=True)


def _cells(estimate: StepEstimate, hourly_rate: float) -> list[str]:
    memory, seconds = estimate.memory_bytes, estimate.seconds
    return [
        f"{estimate.rows:,}" if estimate.rows is not None else UNKNOWN,
        f"{estimate.tokens:,}" if estimate.tokens is not None else "",
        megabytes(memory) if memory is not None else UNKNOWN,
        duration_words(seconds) if seconds is not None else UNKNOWN,
        _cost(seconds, hourly_rate),
        estimate.basis,
    ]


def _cost(seconds: float | None, hourly_rate: float) -> str:
    if seconds is None or not hourly_rate:
        return UNKNOWN
    return f"{seconds / SECONDS_OF_AN_HOUR * hourly_rate:.4g}"
