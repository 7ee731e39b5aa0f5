"""`mill capacity`: how many replicas a load takes, what is expected of them, and what they cost."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from modelmill_cli.output import AsJson, print_json
from modelmill_cli.tables import escaped, plain, print_table

if TYPE_CHECKING:
    from modelmill_capacity.planning import CapacityPlan


Rate = Annotated[float, typer.Option("--rps", min=0.001, help="Requests a second.")]
P95 = Annotated[
    float, typer.Option("--p95", min=1, help="Milliseconds in which 95 of 100 answers end.")
]
Form = Annotated[str | None, typer.Option(help="Form that is served, for example openvino-int8.")]
PromptTokens = Annotated[
    int | None, typer.Option(min=1, help="Tokens of a prompt; as measured without it.")
]
OutputTokens = Annotated[
    int | None, typer.Option(min=1, help="Tokens of an answer on average; as measured without it.")
]
Price = Annotated[
    float | None, typer.Option(min=0, help="Price of a replica of inference with its engine.")
]
TimesFile = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="Service times of your own.")
]


def capacity(
    rps: Rate,
    p95: P95,
    form: Form = None,
    prompt_tokens: PromptTokens = None,
    output_tokens: OutputTokens = None,
    price_per_hour: Price = None,
    measurements: TimesFile = None,
    as_json: AsJson = False,
) -> None:
    """Show how many replicas of each service a load takes, and what they cost.

    A simulation is fed with service times. What rests on assumed times, or lies beyond what was
    compared with a measured run, is marked.
    """
    # What few commands need.
    from modelmill_capacity.measurements import PACKAGED, Measurements
    from modelmill_capacity.offered_load import RequestLengths
    from modelmill_capacity.planning import CapacityAim, plan

    known = Measurements.load(measurements or PACKAGED)
    engine = known.engine(form)
    lengths = RequestLengths(
        prompt_tokens or engine.prompt_tokens, output_tokens or engine.output_tokens
    )
    aim = CapacityAim(rps, p95 / 1e3, lengths)
    found = plan(aim, known, form=engine.form, price_per_hour=price_per_hour)
    asked = {
        "requests_per_second": rps,
        "p95_aim_ms": p95,
        "prompt_tokens": lengths.prompt_tokens,
        "output_tokens": lengths.output_tokens,
    }
    if as_json:
        print_json(asked | found.as_json())
    else:
        _print(found, p95)


def _print(found: "CapacityPlan", p95: float) -> None:
    """A row for each service, then what is expected of all."""
    table = Table("service", "replicas", "busy")
    for service in found.services:
        table.add_row(service.name, str(service.replicas), f"{service.utilisation:.0%}")
    print_table(table)
    facts = Table(show_header=False, box=None)
    facts.add_row("p95", f"{found.p95_seconds * 1e3:,.0f} ms of {p95:,.0f}")
    first = (found.first_token_seconds, found.first_token_p95_seconds)
    facts.add_row("first token", "{:,.0f} ms, p95 {:,.0f} ms".format(*(1e3 * it for it in first)))
    facts.add_row("bottleneck", found.bottleneck)
    if found.cost_per_hour is not None and found.cost_per_thousand is not None:
        facts.add_row("cost an hour", f"{found.cost_per_hour:,.2f}")
        facts.add_row("cost of 1,000 requests", f"{found.cost_per_thousand:,.4f}")
    print_table(facts)
    console = Console(highlight=False, soft_wrap=True)
    for mark in found.marks:
        console.print(plain(escaped(mark)))
