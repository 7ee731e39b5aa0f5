"""Unmodified clients of others against a live gateway: which of their calls work?

Each program makes its calls with the client as it is published, and asserts what came back; "–" is
a call that the client does not have, or has only as another's. The gateway is the whole product's,
with a tiny model. Results are in build/clients.json; exit status 1 when a call failed.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.clients import report
from tests.clients.calls import CLIENTS, NODE_MODULES, PYTHON, ROOT
from tests.clients.running import Column, column_of
from tests.clients.site import running_site
from tests.run_record import NotWorthKeepingError, circumstances, keep, save

RESULT = ROOT / "build" / "clients.json"
LOG = ROOT / "build" / "clients.log"
README = ROOT / "tests" / "clients" / "README.md"
KEPT = ROOT / "deploy" / "clients" / "last.json"
PACKAGES = ("modelmill-gateway", "fastapi", "uvicorn")


def main() -> int:
    """Run it; 1 when a call failed."""
    asked = _arguments()
    console = Console()
    if not (PYTHON.exists() and NODE_MODULES.exists()):
        print("the clients are not installed: run `make clients-test`", file=sys.stderr)
        return 2
    columns = asyncio.run(_columns(asked.only, console))
    report.show(columns, console)
    run: dict[str, Any] = circumstances(PACKAGES) | report.document(columns)
    save(run, RESULT)
    problems = [f"{it.client.name} failed" for it in columns if it.failures]
    if asked.keep:
        try:
            keep(run, problems, KEPT)
        except NotWorthKeepingError as error:
            print(error, file=sys.stderr)
            return 1
        said, _, _ = README.read_text().partition(report.MEASURED)
        README.write_text(said + report.as_measured(run))
    return 1 if problems else 0


async def _columns(only: str, console: Console) -> list[Column]:
    wanted = [client for client in CLIENTS if only.lower() in client.name.lower()]
    LOG.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="modelmill-clients-") as folder, LOG.open("w") as log:

        def on_line(name: str, line: str) -> None:
            log.write(f"{name} {line}\n")

        async with running_site(Path(folder), on_line) as site:
            columns = []
            for client in wanted:
                console.print(f"{client.name} …", style="dim")
                columns.append(await column_of(client, site))
            return columns


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.clients", description=__doc__)
    parser.add_argument("--only", default="", help="clients whose name has this")
    parser.add_argument("--keep", action="store_true", help=f"into {KEPT.relative_to(ROOT)}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
