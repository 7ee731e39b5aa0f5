"""Runs one client's program against the site, and takes down what it tells."""

import asyncio
import json
import os
from asyncio.subprocess import PIPE
from dataclasses import dataclass, field

from tests.clients.calls import NODE_MODULES, Client
from tests.clients.site import BLOCKED, MODEL, Site

LONGEST_SECONDS = 300


@dataclass
class Column:
    """What came of a client's calls: None for one that worked, else why it did not."""

    client: Client
    version: str = ""
    results: dict[str, str | None] = field(default_factory=dict)

    @property
    def failures(self) -> dict[str, str]:
        """Calls that did not work, and why."""
        return {call: why for call, why in self.results.items() if why is not None}


async def column_of(client: Client, site: Site) -> Column:
    """The client's column; a program that ends too early leaves the call that it did not tell."""
    environment = os.environ | {
        "CLIENTS_URL": site.url,
        "CLIENTS_KEY": site.key,
        "CLIENTS_MODEL": MODEL,
        "CLIENTS_BLOCKED": BLOCKED,
        "CLIENTS_NODE_MODULES": str(NODE_MODULES),
        "LANGSMITH_TRACING": "false",
    }
    process = await asyncio.create_subprocess_exec(
        *client.command, env=environment, stdout=PIPE, stderr=PIPE
    )
    try:
        out, complaints = await asyncio.wait_for(process.communicate(), LONGEST_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        return Column(client, results={"the program": f"not within {LONGEST_SECONDS} s"})
    column = read_told(client, out.decode())
    if process.returncode:
        last = (complaints.decode().strip().splitlines() or ["no word"])[-1]
        column.results["the program"] = f"ended with {process.returncode}: {last[:200]}"
    try:
        await site.streams_end()
    except AssertionError:
        column.results["leaves in mid-stream"] = "its stream is still being answered"
    return column


def read_told(client: Client, out: str) -> Column:
    """The column that a program's lines make."""
    column = Column(client)
    for line in out.splitlines():
        said = json.loads(line)
        if "version" in said:
            column.version = said["version"]
        else:
            column.results[said["call"]] = said["failed"]
    return column
