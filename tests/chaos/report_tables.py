"""The tables of what is not a seed: leader kills, watchers, real training."""

from collections.abc import Iterator

from rich.table import Table

from tests.chaos.leader_kills import LeaderKills
from tests.chaos.preemptions import Preemptions
from tests.chaos.step_kills import StepKills
from tests.chaos.training import Training
from tests.chaos.watchers import Watchers


def more_tables(
    leader_kills: LeaderKills | None,
    watchers: Watchers | None,
    training: Training | None,
    step_kills: StepKills | None,
    preemptions: Preemptions | None,
) -> Iterator[Table]:
    """One for each that there is."""
    if leader_kills:
        yield _leader_kills(leader_kills)
    if watchers:
        yield _watchers(watchers)
    if training:
        yield _training(training)
    if step_kills:
        yield _step_kills(step_kills)
    if preemptions:
        yield _preemptions(preemptions)


def _leader_kills(run: LeaderKills) -> Table:
    table = _columns(
        "Three brokers, leader killed",
        *("acked", "lost", "doubled", "kills", "leaders", "asked again"),
        *("longest gap s", "median gap s", "acked/s"),
    )
    table.add_row(
        *(str(run.acked), str(run.lost), str(run.doubled), str(run.kills), str(run.leaders)),
        *(str(run.asked_again), str(run.longest_gap_seconds), str(run.median_gap_seconds)),
        str(run.acked_a_second),
    )
    return table


def _watchers(run: Watchers) -> Table:
    killed = f"{run.gateway_kills} gateways and {run.worker_kills} workers killed"
    table = _columns(
        f"Watchers: {run.cuts} cuts, {killed}",
        *("API", "connections", "stored", "seen", "missed", "doubled", "in order"),
    )
    for each in run.clients:
        table.add_row(
            *(each.api, str(each.connections), str(each.stored), str(each.seen)),
            *(str(each.missed), str(each.doubled), _word(each.in_order)),
        )
    return table


def _training(run: Training) -> Table:
    struck = ", ".join(f"{count} {kind}" for kind, count in sorted(run.faults.items()))
    table = _columns(
        f"Real training: {struck}; {run.zombies_refused} refused",
        *("method", "steps", "attempts", "same weights", "same losses"),
        *("lost", "doubled", "versions", "zombies", "set back"),
    )
    verdict = run.verdict
    for each in run.jobs:
        table.add_row(
            *(each.method, str(each.steps), str(each.attempts)),
            *(_word(each.same_weights), _word(each.same_losses)),
        )
    table.add_row(
        *("all", "", "", "", "", str(verdict.lost), str(verdict.doubled)),
        *(str(verdict.wrong_versions), str(verdict.zombies_accepted), str(verdict.set_back)),
    )
    return table


def _step_kills(run: StepKills) -> Table:
    table = _columns(
        f"Training struck after each of {run.steps} steps, SIGKILL and SIGTERM",
        *("mode", "runs", "struck", "equal"),
    )
    for each in run.modes:
        table.add_row(each.mode, str(each.runs), str(each.struck), str(each.equal))
    return table


def _preemptions(run: Preemptions) -> Table:
    table = _columns(
        f"Training with a SIGTERM every {run.every_seconds:g} s",
        *("struck", "steps", "seconds", "goodput", "lost steps p95", "longest stop s"),
    )
    table.add_row(
        *(str(run.struck), str(run.steps), str(run.seconds), f"{run.goodput:.2f}"),
        *(f"{run.lost_steps_p95:g}", str(run.longest_stop_seconds)),
    )
    return table


def _columns(title: str, *names: str) -> Table:
    table = Table(title=title)
    for name in names:
        table.add_column(name, justify="right")
    return table


def _word(holds: bool) -> str:
    return "yes" if holds else "NO"
