"""Steady chats, streams and jobs of callers that never ask twice, and what came of each."""

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from modelmill_testkit.waiting import eventually

from tests.e2e.conftest import HYPER_PARAMETERS, MAPPING

MODEL = "tiny"
CHATS, STREAMS = 4, 4
TOKENS = 24
JOB_SECONDS = 3.0
"""Between two jobs that are ordered."""
ENDED = ("succeeded", "failed", "cancelled")
TIMEOUT_SECONDS = 60


@dataclass
class Tally:
    """What came of the requests, by kind."""

    answered: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    """Accepted ones."""
    lost: list[str] = field(default_factory=list)
    """Of those: they did not succeed, or nobody knows them."""


class Load:
    """Callers of one gateway, half of whom connect anew for each request.

    Args:
        url: of the gateway.
        token: of a tenant that may do all of it.
    """

    def __init__(self, url: str, token: str) -> None:
        self.tally = Tally()
        self._url = url
        self._headers = {"authorization": f"Bearer {token}"}
        self._stopping = asyncio.Event()
        self._callers: list[asyncio.Task[None]] = []

    async def start(self, rows: bytes) -> None:
        """Begin; returns once each kind was answered."""
        async with self._client() as client:
            files = {"file": ("rows.jsonl", rows, "application/jsonl")}
            data = {"purpose": "fine-tune"}
            uploaded = await client.post("/v1/files", files=files, data=data)
            uploaded.raise_for_status()
            file_id = uploaded.json()["id"]
        for number in range(CHATS):
            self._callers.append(self._started("chat", self._chat, keeps=bool(number % 2)))
        for number in range(STREAMS):
            self._callers.append(self._started("stream", self._stream, keeps=bool(number % 2)))

        async def order(client: httpx.AsyncClient) -> None:
            await self._order(client, "/v1/datasets", _dataset(file_id))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), JOB_SECONDS)

        self._callers.append(self._started("job", order, keeps=True))
        await eventually(lambda: len(self.tally.answered) == 3, within=TIMEOUT_SECONDS)

    async def train(self, dataset_id: str, epochs: int) -> None:
        """Order one training."""
        body = {
            "model": MODEL,
            "training_file": dataset_id,
            "suffix": "rolled",
            "hyperparameters": HYPER_PARAMETERS | {"epochs": epochs},
        }
        async with self._client() as client:
            await self._order(client, "/v1/fine_tuning/jobs", body)

    async def dataset(self) -> str:
        """Id of one that is ready."""
        async with self._client() as client:
            listed = (await client.get("/v1/datasets")).json()["data"]
        return str(next(each["id"] for each in listed if each.get("digest")))

    async def more(self, count: int) -> None:
        """Return after as many more answers of each kind but jobs."""
        before = self.tally.answered.copy()

        def enough() -> bool:
            kinds = ("chat", "stream")
            return all(self.tally.answered[kind] >= before[kind] + count for kind in kinds)

        await eventually(enough, within=TIMEOUT_SECONDS)

    async def stop(self) -> None:
        """Ask nothing more; returns when all is answered and all jobs have ended."""
        self._stopping.set()
        await asyncio.gather(*self._callers)
        async with self._client() as client:
            for job_id in self.tally.jobs:
                await self._see_to_its_end(client, job_id)

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self._url, headers=self._headers, timeout=TIMEOUT_SECONDS, trust_env=False
        )

    def _started(
        self, kind: str, ask: Callable[[httpx.AsyncClient], Awaitable[None]], *, keeps: bool
    ) -> asyncio.Task[None]:
        async def on_and_on() -> None:
            client = self._client()
            while not self._stopping.is_set():
                try:
                    await ask(client)
                    self.tally.answered[kind] += 1
                except (httpx.HTTPError, _WrongError) as error:
                    self.tally.failed.append(f"{kind}: {error!r}")
                if not keeps:
                    await client.aclose()
                    client = self._client()
            await client.aclose()

        return asyncio.create_task(on_and_on())

    async def _chat(self, client: httpx.AsyncClient) -> None:
        answer = _good(await client.post("/v1/chat/completions", json=_question()))
        if answer["usage"]["completion_tokens"] < 1:
            raise _WrongError("an empty answer")

    async def _stream(self, client: httpx.AsyncClient) -> None:
        body = _question() | {"stream": True}
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            if answer.status_code != 200:
                await answer.aread()
                raise _WrongError(f"{answer.status_code} {answer.text}")
            lines = [line async for line in answer.aiter_lines() if line]
        if lines[-1] != "data: [DONE]":
            raise _WrongError(f"cut after {len(lines)} lines: {lines[-1]}")

    async def _order(self, client: httpx.AsyncClient, path: str, body: Any) -> None:
        key = {"idempotency-key": uuid.uuid4().hex}
        accepted = _good(await client.post(path, json=body, headers=key))
        self.tally.jobs.append(accepted.get("job_id") or accepted["id"])

    async def _see_to_its_end(self, client: httpx.AsyncClient, job_id: str) -> None:
        async def ended() -> dict[str, Any] | None:
            job: dict[str, Any] = (await client.get(f"/v1/jobs/{job_id}")).json()
            return job if job.get("status") in ENDED or "kind" not in job else None

        job = await eventually(ended, within=180)
        if job is None or job.get("status") != "succeeded":
            self.tally.lost.append(json.dumps(job))


class _WrongError(Exception):
    """Answered, but not with what was asked for."""


def _good(answer: httpx.Response) -> dict[str, Any]:
    if not answer.is_success:
        raise _WrongError(f"{answer.status_code} {answer.text}")
    return dict(answer.json())


def _question() -> dict[str, Any]:
    content = f"thing {uuid.uuid4().hex[:4]}"
    return {
        "model": MODEL,
        "max_tokens": TOKENS,
        "messages": [{"role": "user", "content": content}],
    }


def _dataset(file_id: str) -> dict[str, Any]:
    return {"file_id": file_id, "name": f"rows-{uuid.uuid4().hex[:8]}", "mapping": MAPPING}
