"""Forty hostile chat templates and tokenizers beside the chats of another tenant.

    python -m tests.hostile [--seconds 60] [--keep]

From the repository's root. A real inference service (process, gRPC, broker, store, OpenVINO engines
of a tiny model) serves one good model; four other tenants have ten hostile models each
(`modelmill_testkit.hostile_models`). First every hostile model is asked something harmless: those
that behave get an engine. Then the good model's tenant sends five chats and twenty bare prompts
(`CountTokens`) a second, half the time alone, then all the time beside forty attackers that never
stop asking for what does not end and heed no Retry-After, then half the time alone again.

Entries: `hostile.p99` ms of a chat beside the attack over alone (<= 2); `hostile.wait` the longest
that a bare prompt took (<= the render limit); `hostile.failures` (0); `hostile.cpu` seconds of CPU
that the bounded processes took for each hostile tenant (<= its budget); `render.added` ms at p50
that a bounded process adds to a prompt (<= 1), as in `tests.bench.render_added`. The run goes to
build/hostile.json; with --keep also to deploy/hostile/last.json. Ends with 1 when a goal is missed.
"""

import argparse
import asyncio
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from modelmill_testkit.hostile_models import HOSTILE
from rich.console import Console

from tests import run_record
from tests.bench import render_added
from tests.bench.report import show
from tests.hostile.drill import Outcome, drill
from tests.hostile.report import entries
from tests.hostile.site import running_site

RESULT = Path("build/hostile.json")
KEPT = Path("deploy/hostile/last.json")
PACKAGES = ("tokenizers", "jinja2", "openvino", "openvino-genai", "grpcio", "uvloop")


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the attack (%(default)s)")
    parser.add_argument("--keep", action="store_true", help=f"also write {KEPT}")
    asked = parser.parse_args()
    lines = [render_added.entry_of(render_added.rounds_of(render_added.ROUNDS))]
    lines += entries(asyncio.run(_drill(asked.seconds)))
    show(lines, Console())
    document = run_record.circumstances(PACKAGES) | {"entries": [asdict(line) for line in lines]}
    run_record.save(document, RESULT)
    missed = [line.id for line in lines if not line.met]
    if asked.keep:
        run_record.keep(document, missed, KEPT)
    return 1 if missed else 0


async def _drill(seconds: float) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="modelmill-hostile-") as place:
        async with running_site(Path(place), [*HOSTILE]) as site:
            return await drill(site, seconds)


if __name__ == "__main__":
    sys.exit(main())
