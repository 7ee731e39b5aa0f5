"""Run with `python -m tests.fuzz --seconds 60 --each`.

Each parser of what strangers send gets broken inputs for its time, in a process of its own that may
take 1 GiB. A failure is any error but InvalidInputError, a broken promise (`parsers` has them), an
input that takes 5 s, or a process that dies or hangs. Inputs that fail are kept in build/fuzz;
`--replay FILE` parses one again. Exit status 1 when anything failed.
"""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from modelmill_service_kit.errors import InvalidInputError

from tests.fuzz.parsers import PARSERS
from tests.fuzz.tally import Tally
from tests.fuzz.watching import command_for, fuzz_apart


def main() -> int:
    """Exit status 0 when no parser failed."""
    chosen = _arguments()
    if chosen.replay:
        return _replay(chosen.replay)
    names: list[str] = chosen.parsers or list(PARSERS)
    if unknown := [name for name in names if name not in PARSERS]:
        print(f"no such parser: {', '.join(unknown)}; there are {', '.join(PARSERS)}")
        return 2
    seconds = chosen.seconds if chosen.each else chosen.seconds / len(names)

    def run(name: str) -> Tally:
        return fuzz_apart(name, seconds, chosen.seed, command_for(name))

    print(f"{'parser':20} executions    refused       rows   failures  slowest s  grown MB")
    failures = 0
    with ThreadPoolExecutor(chosen.jobs) as pool:
        for name, tally in zip(names, pool.map(run, names), strict=True):
            failures += tally.failures
            print(_line(name, tally), flush=True)
    print(f"{failures} failures")
    return 1 if failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("parsers", nargs="*", help=f"all, or some of {', '.join(PARSERS)}")
    parser.add_argument("--seconds", type=float, default=60.0, help="for all parsers together (60)")
    parser.add_argument("--each", action="store_true", help="the seconds are for each parser")
    parser.add_argument("--jobs", type=int, default=1, help="parsers at a time (1)")
    parser.add_argument("--seed", type=int, default=0, help="other inputs for another one (0)")
    parser.add_argument("--replay", type=Path, help="a file of build/fuzz to parse again")
    return parser.parse_args()


def _line(name: str, tally: Tally) -> str:
    return (
        f"{name:20} {tally.executions:10} {tally.refused:10} {tally.rows:10} {tally.failures:10} "
        f"{tally.slowest_seconds:10.2f} {tally.grown_bytes / 1e6:9.0f}"
    )


def _replay(path: Path) -> int:
    """Parse one input as it was when it failed; a failure ends with its traceback."""
    try:
        print(f"{PARSERS[path.name.partition('.')[2]].execute(path)} rows")
    except InvalidInputError as error:
        print(f"refused: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
