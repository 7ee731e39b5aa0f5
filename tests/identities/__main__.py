"""operators.bus.*: what the broker allows each identity and sends for it, beside the table.

python -m tests.identities [--keep]
"""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.figures import Entry
from tests.bench.kept_entries import run_groups
from tests.identities.borrowed import have_answers_sent, have_messages_delivered, set_stage
from tests.identities.matrix import try_everything

RESULT = Path("deploy/bench/operators.json")


async def _measured(folder: Path) -> list[Entry]:
    verdict = await try_everything(folder / "matrix")
    async with set_stage(folder / "borrowed") as stage:
        before = await stage.sizes()
        tried = await have_answers_sent(stage) + await have_messages_delivered(stage)
        stored = await stage.changes(before)
    return [
        _none_of("differences", len(verdict.differences), "cases", str(verdict)),
        _none_of(
            "borrowed",
            sum(stored.values()),
            "messages",
            f"{tried} answers and deliveries asked for, to subjects of somebody else; streams that"
            f" grew: {', '.join(stored) or 'none'}",
        ),
    ]


def _none_of(name: str, found: int, unit: str, note: str) -> Entry:
    goal, met = "0", found == 0
    return Entry(f"operators.bus.{name}", found, unit, "no rival", 1.0, goal, met, (0, 0), note)


def bus_entries() -> list[Entry]:
    """All of them."""
    with TemporaryDirectory(prefix="identities-") as folder:
        return asyncio.run(_measured(Path(folder)))


if __name__ == "__main__":
    sys.exit(run_groups("tests.identities", {"bus": bus_entries}, RESULT))
