"""Many callers, one Idempotency-Key, and a gateway that is killed while they ask."""

import asyncio
import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from modelmill_bus.bus import Bus
from modelmill_cli.gateway import connect_locally, local_token
from modelmill_cli.stack import Stack, StackOptions, running_stack
from modelmill_cli.state_folder import StateFolder
from modelmill_client import Modelmill
from modelmill_testkit.ports import free_port

CALLERS = 200
KILL_AFTER = 40
"""Answers; the rest of the callers are on their way then."""
PATIENCE_SECONDS = 60.0
RETRY_SECONDS = 0.2
KEY = "one-key-for-all"
MAPPING = {
    "system_template": "Name the kind of thing.",
    "user_template": "{word}: {gloss}",
    "answer_template": "{label}",
}
TRANSIENT = (429, 502, 503, 504)


@dataclass(frozen=True)
class OneKey:
    """What the callers heard and what the stream holds."""

    callers: int
    accepted: int
    """Callers that heard 202 in the end."""
    unanswered: int
    """Callers that had no answer yet when the gateway was killed; 0 if it was not."""
    cut_off: int
    """Calls that the gateway had taken when it died; each was made again with the same key."""
    jobs_named: int
    """Different job ids in the answers."""
    jobs_stored: int
    """Requests in the stream."""

    @property
    def kept(self) -> bool:
        """Whether all callers were accepted, as one job, although the gateway died on some."""
        everybody = self.accepted == self.callers and self.unanswered > 0
        return everybody and self.jobs_named == self.jobs_stored == 1


class Callers:
    """All of them ask for the same dataset, each until it is accepted."""

    def __init__(self, http: httpx.AsyncClient, body: Mapping[str, object]) -> None:
        self._http = http
        self._body = body
        self.answers: list[str] = []
        """Job ids."""
        self.cut_off = 0
        self.enough = asyncio.Event()

    async def ask(self) -> None:
        """One caller."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                if await self._try():
                    return
                await asyncio.sleep(RETRY_SECONDS)

    async def _try(self) -> bool:
        try:
            answer = await self._http.post(
                "/v1/datasets", json=self._body, headers={"idempotency-key": KEY}
            )
        except httpx.ConnectError:
            return False
        except httpx.TransportError:
            self.cut_off += 1
            return False
        if answer.status_code in TRANSIENT:
            return False
        answer.raise_for_status()
        self.answers.append(answer.json()["job_id"])
        if len(self.answers) >= KILL_AFTER:
            self.enough.set()
        return True


async def submit_with_one_key(folder: Path, callers: int = CALLERS) -> OneKey:
    """Run a stack of its own under `folder`; takes half a minute."""
    state = StateFolder(folder / "state")
    options = StackOptions(http_port=free_port())
    async with running_stack(state, options, lambda _name, _line: None) as stack:
        url = stack.runtime.http_url
        with connect_locally(state, url) as client:
            file_id = await asyncio.to_thread(_upload, client, folder)
        body = {"file_id": file_id, "name": "one", "mapping": MAPPING}
        limits = httpx.Limits(max_connections=callers)
        async with httpx.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {local_token(state)}"},
            timeout=PATIENCE_SECONDS,
            limits=limits,
        ) as http:
            crowd = Callers(http, body)
            asking = asyncio.gather(*(crowd.ask() for _ in range(callers)), return_exceptions=True)
            unanswered = await _kill_gateway(stack, crowd, callers)
            await asking
        stored = await _requests(stack)
    return OneKey(
        callers=callers,
        accepted=len(crowd.answers),
        unanswered=unanswered,
        cut_off=crowd.cut_off,
        jobs_named=len(set(crowd.answers)),
        jobs_stored=len(stored),
    )


def _upload(client: Modelmill, folder: Path) -> str:
    rows = folder / "rows.jsonl"
    row = {"word": "espresso", "gloss": "strong black coffee", "label": "food"}
    rows.write_text(json.dumps(row) + "\n")
    return client.files.upload(rows)["id"]


async def _kill_gateway(stack: Stack, crowd: Callers, callers: int) -> int:
    """SIGKILL once some have their answer; the stack starts it again. How many had none."""
    try:
        await asyncio.wait_for(crowd.enough.wait(), PATIENCE_SECONDS)
    except TimeoutError:
        return 0
    os.kill(stack.processes["gateway"].pid, signal.SIGKILL)
    return callers - len(crowd.answers)


async def _requests(stack: Stack) -> list[str]:
    runtime = stack.runtime
    async with Bus.connect(runtime.nats_url, runtime.identity("cli"), name="cli") as bus:
        return [stored.subject async for stored in bus.replay(["job.requested.dataset.>"])]
