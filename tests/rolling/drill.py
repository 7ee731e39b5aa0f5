"""A stack under load whose services are replaced, and what its callers noticed."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from modelmill_cli.doctor.processes import page_of
from modelmill_cli.gateway import local_token
from modelmill_cli.orders_socket import give_order
from modelmill_cli.rolling import rolling_order

from tests.rolling.load import Load
from tests.supervision.site import SERVICES, Site

Say = Callable[[str], None]


class Drill:
    """One stack under load."""

    def __init__(self, site: Site, load: Load) -> None:
        self.load = load
        self._site = site

    async def replace(
        self,
        services: Sequence[str] = SERVICES,
        *,
        python: str = sys.executable,
        with_notice: bool = True,
        say: Say = lambda _said: None,
    ) -> list[str]:
        """The services that were replaced, in their order.

        Args:
            python: of the installation whose services take over.
        """
        state = self._site.state
        order = rolling_order(state, state.read_runtime(), services, python)
        replaced = []
        async for message in give_order(state, order | {"notice": with_notice}):
            if message["step"] == "replaced":
                replaced.append(message["service"])
                say(f"{message['service']} replaced, {len(self.load.tally.failed)} failed so far")
        return replaced

    def versions(self) -> dict[str, str | None]:
        """Releases that run, as metrics pages have them."""
        runtime = self._site.state.read_runtime()
        headers = {"authorization": f"Bearer {runtime.service_secret}"}
        return {
            name: page_of(
                200, httpx.get(f"http://127.0.0.1:{port}/metrics", headers=headers).text
            ).version
            for name, port in runtime.metrics_ports.items()
        }

    def pids(self) -> dict[str, int]:
        """Of all processes, as `run/runtime.json` has them."""
        return self._site.state.read_runtime().pids


@asynccontextmanager
async def under_load(python: str = sys.executable) -> AsyncIterator[Drill]:
    """A stack with steady callers who were answered already; it ends with the block.

    Args:
        python: of the installation whose `mill up` it is.
    """
    with tempfile.TemporaryDirectory(prefix="modelmill-rolling-") as place:
        site = await asyncio.to_thread(Site, Path(place))
        await asyncio.to_thread(site.up, python)
        try:
            await asyncio.to_thread(site.bring_model)
            load = Load(site.state.read_runtime().http_url, local_token(site.state))
            await load.start((Path(place) / "rows.jsonl").read_bytes())
            yield Drill(site, load)
        finally:
            await asyncio.to_thread(site.mill.process.terminate)
            await asyncio.to_thread(site.mill.process.wait)
