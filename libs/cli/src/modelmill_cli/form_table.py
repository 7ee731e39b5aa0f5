"""Forms of a model side by side in a terminal: costs, quality lost, and the Pareto frontier."""

from collections.abc import Mapping, Sequence

import typer
from rich.table import Table

from modelmill_cli.output import Record
from modelmill_cli.tables import plain, print_table

SHARE = "share"


def print_forms(found: Record) -> None:
    """Print a row for each form; whether it is on the frontier the gateway says."""
    if found["verdict"]:
        verdict = found["verdict"].replace("_", " ")
        typer.echo(f"{verdict}: {found['reason'] or ''}".rstrip(": "))
    table = Table("form", *_titles(found), "frontier", "mark", "version")
    for each in found["data"]:
        cells = [_cell(each["costs"], measure) for measure in found["costs"]]
        cells += [_cell(each["losses"], measure) for measure in found["losses"]]
        words = (each["form"], *cells, _frontier(each, found), _mark(each))
        table.add_row(*map(plain, (*words, each["version_id"] or "")))
    if table.rows:
        print_table(table)
    if limits := _limits(found):
        typer.echo("; ".join(limits))


def _titles(found: Record) -> list[str]:
    measures = [*found["costs"], *found["losses"]]
    return [" ".join(filter(None, (it["name"], _unit(it)))) for it in measures]


def _unit(measure: Mapping[str, str]) -> str:
    return "%" if measure["unit"] == SHARE else measure["unit"]


def _cell(figures: Mapping[str, Mapping[str, float]], measure: Mapping[str, str]) -> str:
    figure = figures.get(measure["name"])
    if figure is None:
        return ""
    times = 100.0 if measure["unit"] == SHARE else 1.0
    value, low, high = figure["value"], figure["low"], figure["high"]
    if low is None or high is None or low == high:
        return f"{times * value:.4g}"
    return f"{times * value:.4g} ({times * low:.4g} to {times * high:.4g})"


def _frontier(form: Record, found: Record) -> str:
    """Costs with which it is on the frontier of the loss to go by."""
    losses: Sequence[Mapping[str, str]] = found["losses"]
    first = losses[0]["name"] if losses else ""
    return ", ".join(cost for cost, names in form["frontier"].items() if first in names)


def _mark(form: Record) -> str:
    words = ["chosen"] if form["is_chosen"] else []
    if refusal := form["refusal"]:
        words.append(f"{refusal['code'].replace('_', ' ')}: {refusal['reason']}")
    return "; ".join(words)


def _limits(found: Record) -> list[str]:
    said = []
    if objective := found["objective"]:
        bound = objective["bound"].replace("_", " ")
        said.append(f"objective: {objective['name']} {bound} {objective['value']:g}")
    if found["max_accuracy_loss"] is not None:
        said.append(f"accuracy_loss at most {100 * found['max_accuracy_loss']:g} %")
    if load := found["load"]:
        said.append("load: " + ", ".join(f"{name} {number}" for name, number in load.items()))
    if found["dataset_id"]:
        said.append(f"scored on {found['dataset_id']}")
    return said
