"""Swap versions and kill engines and replicas under load: does any request fail, is any mixed?"""

import argparse
import asyncio
import logging
import sys
import tempfile
from pathlib import Path

from modelmill_testkit.models import make_other_openvino, make_tiny_llama, make_tiny_openvino
from rich.console import Console
from rich.progress import Progress

from tests.run_record import save
from tests.swaps import report as reporting
from tests.swaps.drill import Drill, Run

RESULT = Path("build/swaps.json")


def main() -> int:
    """Run it; 1 when a promise was broken."""
    asked = _arguments()
    console = Console()
    # A replica that is killed is told of by everybody who talks to it.
    logging.getLogger("modelmill_jobs").addHandler(logging.NullHandler())
    run = asyncio.run(_drill(asked.swaps, asked.restarts, asked.seed, console))
    reporting.show(run, console)
    save(reporting.document(run), RESULT)
    return 1 if reporting.broken_promises(run) else 0


async def _drill(swaps: int, restarts: int, seed: int, console: Console) -> Run:
    with (
        tempfile.TemporaryDirectory(prefix="modelmill-swaps-") as place,
        Progress(console=console) as progress,
    ):
        folder = Path(place)
        task = progress.add_task("two builds", total=swaps)
        llama = await asyncio.to_thread(make_tiny_llama, folder / "llama")
        first = await asyncio.to_thread(make_tiny_openvino, llama, folder / "first")
        second = make_other_openvino(first, folder / "second")
        progress.update(task, description="swaps")
        return await Drill(folder, [first, second], seed=seed).run(
            swaps=swaps,
            restarts=restarts,
            tell=lambda done: progress.update(task, completed=done),
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.swaps", description=__doc__)
    parser.add_argument("--swaps", type=int, default=50, help="how many (%(default)s)")
    parser.add_argument(
        "--restarts", type=int, default=5, help="engines and replicas by turns (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="whom they strike (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
