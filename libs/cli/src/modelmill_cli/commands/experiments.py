"""`mill experiments`: versions that are compared on live requests, and the replay of it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from modelmill_client import types
from modelmill_service_kit.errors import InvalidInputError
from rich.table import Table

from modelmill_cli.gateway import connect
from modelmill_cli.output import (
    AsJson,
    Columns,
    print_done,
    print_json,
    print_list,
    print_table_of,
    when,
)
from modelmill_cli.short_ids import EXPERIMENT, MODEL
from modelmill_cli.tables import plain, print_table

if TYPE_CHECKING:
    from modelmill_cli.experiment_replay import ComparedDecision

app = typer.Typer(no_args_is_help=True, help="Manage experiments, which compare versions.")

ExperimentId = Annotated[
    str, typer.Argument(metavar="EXPERIMENT", help="An experiment, or how its id begins.")
]
Alias = Annotated[
    str, typer.Argument(help="Alias of your own; the version that it means is the base.")
]
Candidates = Annotated[
    list[str],
    typer.Argument(metavar="CANDIDATE", help="Versions that are compared with the base."),
]
Primary = Annotated[
    str, typer.Option(metavar="METRIC", help="Metric that has to be better, such as completion.")
]
Guardrails = Annotated[
    list[str] | None,
    typer.Option(
        "--guardrail", metavar="METRIC", help="Metric that must not be worse; repeatable."
    ),
]
Shares = Annotated[
    list[float] | None,
    typer.Option("--share", help="Share of keys of a candidate, one for each; repeatable."),
]
Alpha = Annotated[
    float | None, typer.Option(help="Chance of a wrong promotion or rollback at most.")
]
MaxHarm = Annotated[
    list[str] | None,
    typer.Option(metavar="METRIC=SHARE", help="What may be lost of a metric; repeatable."),
]
Horizon = Annotated[int | None, typer.Option(help="Keys after which it ends without a winner.")]
Window = Annotated[
    float | None,
    typer.Option(help="Seconds from a key's first answer in which answers and feedback count."),
]
Holdback = Annotated[
    float | None, typer.Option(help="Share of the base while a promoted candidate is watched.")
]

COLUMNS: Columns = {
    "id": lambda experiment: experiment["id"],
    "alias": lambda experiment: experiment["alias"],
    "status": lambda experiment: _status(experiment),
    "primary": lambda experiment: experiment["primary"],
    "keys": lambda experiment: f"{experiment['keys']:,} of {experiment['horizon']:,}",
    "created": lambda experiment: when(experiment["created_at"]),
}
ARMS: Columns = {
    "arm": lambda arm: arm["name"],
    "version": lambda arm: arm["version_id"],
    "share": lambda arm: f"{arm['share']:.4g}",
}
EVIDENCE: Columns = {
    "candidate": lambda found: found["candidate"],
    "metric": lambda found: found["metric"],
    "base mean": lambda found: _mean(found["base_mean"]),
    "candidate mean": lambda found: _mean(found["candidate_mean"]),
    "base keys": lambda found: f"{found['base_keys']:,}",
    "candidate keys": lambda found: f"{found['candidate_keys']:,}",
    "better": lambda found: f"{found['better']:.4g}",
    "harmless": lambda found: f"{found['harmless']:.4g}",
    "harmful": lambda found: f"{found['harmful']:.4g}",
}
PHASES = ("compare", "watch")
DECISIONS: Columns = {
    "phase": lambda made: PHASES[made["phase"]],
    "verdict": lambda made: made["verdict"].replace("_", " "),
    "candidate": lambda made: made["candidate"] or "",
    "metric": lambda made: made["metric"] or "",
    "evidence": lambda made: f"{made['evidence']:.6g}",
    "threshold": lambda made: f"{made['threshold']:.6g}",
    "keys": lambda made: f"{made['keys']:,}",
}


@app.command()
def create(
    context: typer.Context,
    alias: Alias,
    candidates: Candidates,
    primary: Primary,
    guardrails: Guardrails = None,
    shares: Shares = None,
    alpha: Alpha = None,
    max_harm: MaxHarm = None,
    horizon: Horizon = None,
    window: Window = None,
    holdback: Holdback = None,
    as_json: AsJson = False,
) -> None:
    """Create an experiment on an alias; the gateway chooses what is not given."""
    given: dict[str, Any] = {
        "guardrails": guardrails,
        "shares": shares,
        "alpha": alpha,
        "max_harm": _max_harm(max_harm or []),
        "horizon": horizon,
        "window_seconds": window,
        "holdback": holdback,
    }
    body = {name: value for name, value in given.items() if value not in (None, [], {})}
    with connect(context.obj) as client:
        versions = [MODEL.full_id(client, each) for each in candidates]
        made = client.experiments.create(alias=alias, candidates=versions, primary=primary, **body)
    print_done(made, made["id"], as_json=as_json)
    if not as_json:
        print_list(made["arms"], ARMS, as_json=False)
        typer.echo(f"next   mill experiments show {made['id']}")


def _max_harm(given: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in given:
        metric, _, share = text.partition("=")
        try:
            if not metric or metric in found:
                raise ValueError
            found[metric] = float(share)
        except ValueError:
            raise InvalidInputError(
                f"--max-harm {text}: give each metric once with a number, as in completion=0.02"
            ) from None
    return found


@app.command("list")
def list_experiments(context: typer.Context, as_json: AsJson = False) -> None:
    """List experiments, newest first."""
    with connect(context.obj) as client:
        print_list(client.experiments.list(), COLUMNS, as_json=as_json)


@app.command()
def show(context: typer.Context, experiment_id: ExperimentId, as_json: AsJson = False) -> None:
    """Show an experiment: how it stands, the evidence so far as e-values, and its decisions."""
    with connect(context.obj) as client:
        found = client.experiments.retrieve(EXPERIMENT.full_id(client, experiment_id))
    print_table_of(found, _facts(found), as_json=as_json)
    if not as_json:
        print_list(found["arms"], ARMS, as_json=False)
        if found["evidence"]:
            print_list(found["evidence"], EVIDENCE, as_json=False)
        if found["decisions"]:
            print_list(found["decisions"], DECISIONS, as_json=False)


@app.command()
def stop(context: typer.Context, experiment_id: ExperimentId, as_json: AsJson = False) -> None:
    """Stop an experiment without a decision; the alias means the base, or who was promoted."""
    with connect(context.obj) as client:
        ended = client.experiments.stop(EXPERIMENT.full_id(client, experiment_id))
    print_done(ended, f"{ended['id']}: {_standing(ended)}", as_json=as_json)


@app.command("replay")
def replay_here(
    context: typer.Context, experiment_id: ExperimentId, as_json: AsJson = False
) -> None:
    """Verify an experiment: its units decide again on this machine, which gives the same bits.

    Exit status 1 says that a decision differs.
    """
    from modelmill_cli.experiment_replay import check_identical, replay

    with connect(context.obj) as client:
        # In this order, so that the units of each decision that is recorded are there.
        found = client.experiments.retrieve(EXPERIMENT.full_id(client, experiment_id))
        units = client.experiments.units(found["id"])
    compared = replay(found, units)
    if as_json:
        print_json(_report(found, len(units), compared))
    else:
        _print_compared(compared)
    check_identical(found, compared)
    if not as_json:
        counted = f"{len(compared)} decision{'s' * (len(compared) != 1)}"
        typer.echo(f"{found['id']}: {counted} of {len(units):,} units, all as recorded")


def _print_compared(compared: Sequence["ComparedDecision"]) -> None:
    if compared:
        table = Table(*DECISIONS, "")
        for each in compared:
            shown = each.recorded or each.replayed
            cells = (plain(str(cell(shown))) for cell in DECISIONS.values())
            table.add_row(*cells, plain(each.words))
        print_table(table)


def _report(
    experiment: types.Experiment, units: int, compared: Sequence["ComparedDecision"]
) -> Mapping[str, Any]:
    decisions = [
        {"recorded": it.recorded, "replayed": it.replayed, "differing": [*it.differing]}
        for it in compared
    ]
    identical = not any(it.differing for it in compared)
    head = {"id": experiment["id"], "units": units, "identical": identical}
    return head | {"decisions": decisions}


def _facts(experiment: types.Experiment) -> Iterator[tuple[str, object]]:
    yield "id", experiment["id"]
    yield "alias", experiment["alias"]
    yield "status", _standing(experiment)
    yield "keys", f"{experiment['keys']:,} of {experiment['horizon']:,}"
    yield "primary", experiment["primary"]
    if experiment["missing"]:
        yield "not measured yet", ", ".join(experiment["missing"])
    if experiment["guardrails"]:
        yield "guardrails", ", ".join(experiment["guardrails"])
    if experiment["max_harm"]:
        harms = experiment["max_harm"].items()
        yield "max harm", ", ".join(f"{name} {share:.4g}" for name, share in harms)
    yield "alpha", f"{experiment['alpha']:.4g}"
    yield "window", f"{experiment['window_seconds']:g} s"
    yield "holdback", f"{experiment['holdback']:.4g}"
    yield "sample ratio", f"{experiment['sample_ratio']:.4g}"
    yield "created", when(experiment["created_at"])
    if experiment["changed_by"]:
        yield "changed by", experiment["changed_by"]


def _status(experiment: types.Experiment) -> str:
    return experiment["status"].replace("_", " ")


def _standing(experiment: types.Experiment) -> str:
    reason = experiment["reason"]
    return f"{_status(experiment)}: {reason}" if reason else _status(experiment)


def _mean(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
