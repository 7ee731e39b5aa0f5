"""What the clients are let loose on: the whole product with a tiny model, a policy and a key."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from modelmill_cli.commands.models import bring_in
from modelmill_cli.gateway import DEFAULT_TENANT, local_token
from modelmill_cli.stack import StackOptions, running_stack
from modelmill_cli.state_folder import StateFolder
from modelmill_testkit.models import make_tiny_llama
from modelmill_testkit.ports import free_port
from modelmill_testkit.tool_templates import HERMES
from modelmill_testkit.waiting import eventually

MODEL = "tiny"
BLOCKED = "forbidden fruit"
POLICY = f"""
rules:
  - id: no-eating
    category: illicit
    severity: high
    action: block
    directions: both
    keywords: ["{BLOCKED}"]
"""
STREAMS = "modelmill_active_streams"


@dataclass(frozen=True)
class Site:
    """Where the gateway is, how to be let in, and a way to see that nobody is still answered."""

    url: str
    key: str
    metrics_url: str
    secret: str
    """Opens the page of metrics."""

    async def streams_end(self) -> None:
        """Return once no stream runs any more; AssertionError when one does for long."""
        headers = {"authorization": f"Bearer {self.secret}"}
        async with httpx.AsyncClient(headers=headers, timeout=60) as client:

            async def none_left() -> bool:
                said = (await client.get(self.metrics_url)).text
                lines = [it for it in said.splitlines() if it.startswith(STREAMS)]
                return bool(lines) and all(float(it.split()[-1]) == 0 for it in lines)

            await eventually(none_left)


@asynccontextmanager
async def running_site(folder: Path, on_line: Callable[[str, str], None]) -> AsyncIterator[Site]:
    """The six services, a model that can call tools and answers to `MODEL`, and an API key."""
    state = StateFolder(folder / "state")
    model = make_tiny_llama(folder / "model", context_tokens=2048, chat_template=HERMES)
    options = StackOptions(http_port=free_port())
    async with running_stack(state, options, on_line) as stack:
        await bring_in(state, model, name=MODEL, tenant=DEFAULT_TENANT)
        url = stack.runtime.http_url
        headers = {"authorization": f"Bearer {local_token(state)}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client:
            await _governed(client)
            key = await _key(client)
            await _answering(client)
        runtime = stack.runtime
        metrics_url = f"http://127.0.0.1:{runtime.metrics_ports['gateway']}/metrics"
        yield Site(url, key, metrics_url, runtime.service_secret)


async def _governed(client: httpx.AsyncClient) -> None:
    body = {"documents": [{"name": "clients.yaml", "text": POLICY}]}
    (await client.put("/v1/moderation/policy", json=body)).raise_for_status()


async def _key(client: httpx.AsyncClient) -> str:
    scopes = ["chat", "models:read", "files", "datasets", "jobs"]
    made = await client.post("/v1/keys", json={"name": "clients", "scopes": scopes})
    made.raise_for_status()
    return str(made.json()["key"])


async def _answering(client: httpx.AsyncClient) -> None:
    """Load the model."""

    async def answered() -> bool:
        return (await client.post("/v1/chat/completions", json=asked("hello"))).is_success

    await eventually(answered, within=180)


def asked(text: str) -> dict[str, Any]:
    """A body of a chat."""
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": 4}
