"""The load on a rival's server: whole answers, so many in flight; nothing is streamed or parsed."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from modelmill_tokenization.chat_tokenizer import ChatTokenizer

Ask = Callable[[list[int]], Awaitable[int]]
"""Has a prompt answered; gives the number of tokens that were generated."""


async def load(ask: Ask, tokenizer: ChatTokenizer, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Send every prompt once, `in_flight` at a time: {"seconds", "tokens"}."""
    waiting = deque(
        tokenizer.encode_prompt([{"role": "user", "content": prompt}])
        for prompt in asked["prompts"]
    )

    async def client() -> int:
        tokens = 0
        while waiting:
            tokens += await ask(waiting.popleft())
        return tokens

    started = time.perf_counter()
    tokens = sum(await asyncio.gather(*(client() for _ in range(asked["in_flight"]))))
    return {"seconds": time.perf_counter() - started, "tokens": tokens}
