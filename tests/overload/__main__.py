"""Five times the load that can be answered, and a hundred streams whose clients leave at once.

A real gateway process (token, policy, guard), raw sockets before it, and behind it an inference of
16 places that gives each answer a token every 20 ms and refuses a seventeenth; it runs in the
caller's process. Callers of three tenants in turn stream answers of 32 tokens, with a deadline of
ten seconds (`x-request-timeout`). What can be done is measured first: 16 in flight, closed loop.
Offered, open loop and evenly spaced, are that rate and five times that rate.

goodput: tokens/s of answers that were whole before their deadline, from a sixth of the time on.
refusal p99: ms from the request to the head of its 503; each must have Retry-After.
stopped p99: ms from the moment at which all clients left until inference's call was over.
leaked: what the gateway's gauges and inference say is still in hand; tokens generated after that.
"""

import argparse
import asyncio
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests import run_record
from tests.overload.drill import TIMES, Run, dropped, overload

RESULT = Path("build/overload.json")
KEPT = Path("deploy/overload/last.json")
PACKAGES = ("uvicorn", "uvloop", "grpcio")


def main() -> int:
    """Run it; 1 when a promise was broken."""
    asked = _arguments()
    run = asyncio.run(_drill(asked.seconds, asked.streams))
    broken = run.broken_promises()
    _show(run, broken)
    circumstances = run_record.circumstances(PACKAGES)
    document = circumstances | {"run": asdict(run), "ratio": run.goodput_ratio, "broken": broken}
    run_record.save(document, RESULT)
    if asked.keep:
        run_record.keep(document, broken, KEPT)
    return 1 if broken else 0


async def _drill(seconds: float, streams: int) -> Run:
    run = Run()
    with tempfile.TemporaryDirectory(prefix="modelmill-overload-") as place:
        await dropped(run, Path(place) / "dropped", streams)
        await overload(run, Path(place) / "overload", seconds)
    return run


def _show(run: Run, broken: list[str]) -> None:
    console, table = Console(), Table(title="overload", title_justify="left")
    table.add_column("what")
    table.add_column("value", justify="right")
    rows = (
        ("tokens/s, closed loop", f"{run.can_tokens_a_second:.0f}"),
        ("goodput at 1x", f"{run.goodput_once:.0f} tokens/s; {run.once}"),
        (f"goodput at {TIMES}x", f"{run.goodput_overload:.0f} tokens/s; {run.overload}"),
        ("ratio", f"{run.goodput_ratio:.3f}"),
        (f"{run.streams} streams dropped", f"stopped p99 {run.stopped_ms:.0f} ms"),
        ("held afterwards", str(run.held)),
    )
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for line in broken:
        console.print(f"[red]{line}[/red]")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each turn (%(default)s)")
    parser.add_argument("--streams", type=int, default=100, help="dropped (%(default)s)")
    parser.add_argument("--keep", action="store_true", help=f"also write {KEPT}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
