"""The rival of serve.vllm: a vLLM server on this CPU, without adapters, given token ids.

Arguments: its Python, and the model's folder. Question: {"prompts", "in_flight",
"max_new_tokens"}. Answer: {"seconds", "tokens"}.
"""

import asyncio
import json
import sys
from pathlib import Path

from modelmill_inference.adapters.vllm_server import VllmOptions, VllmServer
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

from tests.bench.rival_load import load
from tests.bench.worker import Bench

SERVER = "vllm.entrypoints.openai.api_server"


async def serve(python: str, folder: Path) -> None:
    """Answer questions until there are no more; the server goes with this process."""
    tokenizer = ChatTokenizer.load(folder)
    options = VllmOptions(command=f"{python} -m {SERVER}", adapters=0)
    server = VllmServer(options, folder)
    await server.acquire()
    bench = Bench()
    while (asked := await asyncio.to_thread(bench.question)) is not None:
        fixed = {
            "model": server.model,
            "max_tokens": asked["max_new_tokens"],
            "temperature": 0,
            "stop_token_ids": sorted(tokenizer.eos_ids),
        }

        async def ask(prompt: list[int], fixed: dict[str, object] = fixed) -> int:
            answer = await server.api.ask("/v1/completions", fixed | {"prompt": prompt})
            tokens: int = json.loads(answer)["usage"]["completion_tokens"]
            return tokens

        bench.answer(await load(ask, tokenizer, asked))
    await server.release()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2])))
