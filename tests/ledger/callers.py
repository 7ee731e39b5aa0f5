"""Streams that never stop being asked for, and what became of each."""

import asyncio
import itertools
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modelmill_gateway.domain.chat import ChatCall, Sampling, Turn
from modelmill_gateway.domain.ledger.budget import prompt_bound

from tests.ledger.site import MODEL, Replica, Shown

NUMBERS = itertools.count()
"""Of all callers: inference knows requests by their names."""
REST_SECONDS = 0.5
"""Between a refusal and the next request."""


@dataclass
class Asked:
    """One request, by the name that inference knows it by."""

    name: str
    budgets: tuple[str, ...]
    """All that it is charged to, in the order in which they are held."""
    bound: int
    """Tokens that it can use at most, as the gateway reckons."""
    prompt_bound: int
    """Of these, its prompt's."""
    replica: str
    sent: float
    answered: float = 0.0
    """When its head was there; 0 when none came."""
    ended: float = 0.0
    status: int = 0
    """0 when the connection broke before an answer."""
    code: str = ""
    refused_by: str = ""
    """The budget whose limit would have been exceeded."""
    whole: bool = False
    seen: int = 0
    """Chunks of text that arrived."""


class Callers:
    """Some streams at a time of one tenant or key, at any replica that serves."""

    def __init__(self, shown: Shown, replicas: Sequence[Replica], seed: int) -> None:
        self.asked: list[Asked] = []
        self.stopping = False
        """Set, no more is asked."""
        self._shown = shown
        self._replicas = replicas
        self._random = random.Random(f"{seed}-{shown.name}")

    async def run(self, most_tokens: int) -> None:
        """One stream after the other, until told to stop; a dead replica is another one's turn."""
        while not self.stopping:
            serving = [replica for replica in self._replicas if replica.serving]
            if not serving:
                await asyncio.sleep(0.05)
                continue
            replica = self._random.choice(serving)
            tokens = self._random.randint(1, most_tokens)
            name = f"{self._shown.name} {next(NUMBERS)} {tokens}"
            call = ChatCall(MODEL, (Turn("user", name),), Sampling())
            prompt = prompt_bound(call)
            asked = Asked(
                *(name, self._shown.budgets, prompt + most_tokens, prompt),
                replica=replica.name,
                sent=time.monotonic(),
            )
            self.asked.append(asked)
            try:
                await self._one(asked, replica.port, most_tokens)
            except (OSError, asyncio.IncompleteReadError):
                pass  # the replica died; the record says how far it came
            finally:
                asked.ended = time.monotonic()
            if not asked.whole:
                await asyncio.sleep(REST_SECONDS * self._random.random())

    async def _one(self, asked: Asked, port: int, most_tokens: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(self._request(asked.name, most_tokens))
            head = await reader.readuntil(b"\r\n\r\n")
            asked.answered, asked.status = time.monotonic(), int(head[9:12])
            if asked.status != 200:
                error = await _error(reader, head)
                asked.code = str(error["code"])
                asked.refused_by = self._shown.budget_in(str(error["message"]))
                return
            while True:
                size = await reader.readline()
                if not size:
                    raise ConnectionError("the stream was cut")
                chunk = await reader.readexactly(int(size, 16) + 2)
                asked.seen += chunk.count(b'"content":"word')
                if b"[DONE]" in chunk:
                    asked.whole = True
                    return
        finally:
            writer.close()

    def _request(self, name: str, most_tokens: int) -> bytes:
        body = json.dumps(
            {
                "model": MODEL,
                "messages": [{"role": "user", "content": name}],
                "max_tokens": most_tokens,
                "stream": True,
            }
        ).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: load\r\nconnection: close\r\n"
            f"authorization: Bearer {self._shown.token}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


async def _error(reader: asyncio.StreamReader, head: bytes) -> dict[str, Any]:
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    error: dict[str, Any] = json.loads(await reader.readexactly(length))["error"]
    return error
