"""What one tenant's costly rules cost another tenant's chats.

    python -m tests.costly_rules [--seconds 10] [--keep]

From the repository's root. A real gateway process and, in the caller's process, an inference that
says random letters at once. The quiet tenant sends one chat of 1 KB after the other, by the shared
policy: alone; beside six callers of another tenant, three that send texts of 4 kB in a row and
three that read streams of 200 tokens, by a policy in which nothing matches (the floor); and beside
the same callers of a tenant with three patterns that are as costly as patterns can be, and then
with three that match at every letter. All of these share the machine's cores with the measured
caller.

Entries, for `many_states` and `many_matches`: `costly.KIND.alone` ms of a chat (p50) beside the
costly rules over alone (<= 1.5); `.floor` over beside the cheap ones (<= 1.5); `.plain` what the
cheap ones cost (no goal); `.longest` (<= 0.25 s); `.failures` (0). The run, with the machine's
load before it, goes to
build/costly_rules.json; with --keep also to deploy/costly_rules/last.json, whatever it found. Ends
with 1 when a goal is missed.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from tests import run_record
from tests.bench.figures import Entry
from tests.bench.report import show
from tests.costly_rules.drill import EVERYWHERE, PATTERNS, turns_of
from tests.costly_rules.report import entries

RESULT = Path("build/costly_rules.json")
KEPT = Path("deploy/costly_rules/last.json")
PACKAGES = ("google-re2", "grpcio", "uvloop", "httptools", "httpx")
KINDS = {"many_states": PATTERNS, "many_matches": EVERYWHERE}


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.costly_rules", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each turn (%(default)s)")
    parser.add_argument("--keep", action="store_true", help=f"also write {KEPT}")
    asked = parser.parse_args()
    lines: list[Entry] = []
    load = os.getloadavg()
    for kind, patterns in KINDS.items():
        with tempfile.TemporaryDirectory(prefix="modelmill-costly-") as folder:
            turns = asyncio.run(turns_of(Path(folder), patterns, asked.seconds))
        lines += entries(kind, turns)
    show(lines, Console())
    document = run_record.circumstances(PACKAGES) | {
        "seconds_a_turn": asked.seconds,
        "load_average_before": load,
        "entries": [asdict(line) for line in lines],
    }
    run_record.save(document, RESULT)
    if asked.keep:
        run_record.keep(document, [], KEPT)
    return 1 if any(line.met is False for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
