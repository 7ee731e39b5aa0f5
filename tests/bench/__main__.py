"""`make bench`: every entry in turn, a table, and build/bench.json."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from modelmill_service_kit.errors import DomainError
from rich.console import Console

from tests.bench import (
    adapters_over_base,
    batch_gain,
    data_accuracy,
    data_prep_rows,
    decode_path,
    dedup_datasketch,
    gateway_latency,
    grammar_held,
    guard_large,
    guard_recall,
    guard_service,
    guard_speed,
    guard_stream,
    hostile_healthy,
    job_submit,
    judge_where,
    mtls_cost,
    overload,
    prefix_ttft,
    prep_memory,
    prep_rivals,
    publish_rate,
    render_added,
    score_shared,
    serve,
    submit_latency,
    telemetry_cost,
    train_lora,
    triton_hop,
)
from tests.bench.built_model import NotBuiltError
from tests.bench.figures import Entry, Line, Unmeasured
from tests.bench.gateway import added
from tests.bench.harness import FEWEST_ROUNDS, FULL_ROUNDS, QUICK_ROUNDS, Group, Run
from tests.bench.report import document, keep, show, show_kept
from tests.bench.worker import WorkerFailedError
from tests.long_progress import LongProgress
from tests.run_record import NotWorthKeepingError, save

GROUPS: tuple[Group, ...] = (
    guard_stream.GROUP,
    guard_large.GROUP,
    guard_recall.GROUP,
    guard_speed.GROUP,
    guard_service.GROUP,
    job_submit.GROUP,
    submit_latency.GROUP,
    publish_rate.GROUP,
    data_prep_rows.GROUP,
    prep_rivals.GROUP,
    prep_memory.GROUP,
    dedup_datasketch.GROUP,
    gateway_latency.GROUP,
    *added.GROUPS,
    decode_path.GROUP,
    serve.GROUP,
    batch_gain.GROUP,
    overload.GROUP,
    triton_hop.GROUP,
    grammar_held.GROUP,
    telemetry_cost.GROUP,
    prefix_ttft.GROUP,
    score_shared.GROUP,
    judge_where.GROUP,
    adapters_over_base.GROUP,
    hostile_healthy.GROUP,
    render_added.GROUP,
    mtls_cost.GROUP,
    train_lora.GROUP,
    data_accuracy.GROUP,
)
ALL_IDS = tuple(entry_id for group in GROUPS for entry_id in group.ids)
ID_GROUPS = tuple(group.ids for group in GROUPS)
RESULT, KEPT = Path("build/bench.json"), Path("deploy/bench/results")


def main() -> int:
    """Exit status 0 when every line that was asked for has a figure, or lacks only its rival."""
    console = Console()
    asked = _arguments()
    if asked.kept:
        show_kept(ID_GROUPS, KEPT, console)
        return 0
    wanted = _wanted(asked.ids)
    if not wanted:
        console.print(f"no such entry; there are {', '.join(ALL_IDS)}")
        return 2
    rounds = asked.rounds or (QUICK_ROUNDS if asked.quick else FULL_ROUNDS)
    if rounds < (QUICK_ROUNDS if asked.quick else FEWEST_ROUNDS):
        console.print(f"--rounds must be at least {FEWEST_ROUNDS}, or {QUICK_ROUNDS} with --quick")
        return 2
    lines = asyncio.run(_measure(wanted, rounds, asked.quick, console))
    run = document(lines, rounds=rounds, quick=asked.quick)
    show(lines, console)
    save(run, RESULT)
    if asked.keep:
        try:
            console.print(f"kept: {', '.join(keep(run, ID_GROUPS, KEPT))}")
        except NotWorthKeepingError as error:
            console.print(f"[red]{error}[/red]")
            return 1
    return 0 if all(isinstance(line, Entry) or line.is_absence for line in lines) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "ids", nargs="*", help=f"entries, or their beginnings: {', '.join(ALL_IDS)}"
    )
    parser.add_argument("--rounds", type=int, default=0, help=f"counted rounds ({FULL_ROUNDS})")
    parser.add_argument("--quick", action="store_true", help="little load, no check: does it run?")
    parser.add_argument("--keep", action="store_true", help=f"write each whole group to {KEPT}")
    parser.add_argument("--kept", action="store_true", help="show what is kept, and how old it is")
    return parser.parse_args()


def _wanted(asked: Sequence[str]) -> frozenset[str]:
    return frozenset(
        entry_id
        for entry_id in ALL_IDS
        if not asked or any(f"{entry_id}.".startswith(f"{one}.") for one in asked)
    )


async def _measure(
    wanted: frozenset[str], rounds: int, quick: bool, console: Console
) -> list[Line]:
    groups = [group for group in GROUPS if wanted & set(group.ids)]
    lines: list[Line] = []
    with LongProgress(console) as progress:
        task = progress.add_task("", total=sum(group.seconds for group in groups))
        run = Run(progress, task, rounds=rounds, quick=quick, wanted=wanted)
        reached = 0.0
        for group in groups:
            run.say(f"{group.ids[0]}: preparing")
            lines += await _lines_of(group, run)
            reached += group.seconds
            run.spent = reached
            progress.update(task, completed=reached)
    return lines


async def _lines_of(group: Group, run: Run) -> list[Line]:
    """A group that cannot be measured costs its own lines, not the run."""
    try:
        return await group.measure(run)
    except (WorkerFailedError, NotBuiltError, DomainError, OSError) as error:
        reason = f"not measured: {type(error).__name__}: {error}"
        return [Unmeasured(entry_id, reason) for entry_id in group.ids if entry_id in run.wanted]


if __name__ == "__main__":
    sys.exit(main())
