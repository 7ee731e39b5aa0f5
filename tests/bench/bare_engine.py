"""The floor of decode.path: the pipeline that inference's engine process runs, and nothing else.

The same library, build, scheduler, properties and sampling; no sockets, no text, no tokens read
before a request is over.

Argument: the build's folder. Question: {"prompts", "in_flight", "max_new_tokens"}. Answer:
{"seconds", "tokens"}.
"""

import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import openvino_genai as genai
from modelmill_inference.adapters.openvino import PipelineOptions
from modelmill_inference.children.openvino import generation_config, open_pipeline
from modelmill_inference.domain.generation import GenerationRequest
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from openvino import Tensor

from tests.bench.worker import answer_all


class BareEngine:
    """Keeps so many requests in the pipeline as are to be in flight."""

    def __init__(self, folder: Path) -> None:
        self._pipeline = open_pipeline({"folder": str(folder), **PipelineOptions().load_message()})
        self._tokenizer = ChatTokenizer.load(folder)
        self._numbers = count()

    def generate(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Answer every prompt once."""
        waiting = [
            self._tokenizer.encode_prompt([{"role": "user", "content": prompt}])
            for prompt in reversed(asked["prompts"])
        ]
        greedy = asdict(GenerationRequest((), asked["max_new_tokens"]))
        sampling = greedy | {"eos_ids": sorted(self._tokenizer.eos_ids)}
        live: list[Any] = []
        tokens = 0
        started = time.perf_counter()
        while waiting or live:
            while waiting and len(live) < asked["in_flight"]:
                config = generation_config(sampling)
                prompt = Tensor([waiting.pop()])
                live.append(self._pipeline.add_request(next(self._numbers), prompt, config))
            self._pipeline.step()
            running = genai.GenerationStatus.RUNNING
            ended = [handle for handle in live if handle.get_status() != running]
            for handle in ended:
                tokens += sum(len(output.generated_ids) for output in handle.read_all())
                live.remove(handle)
        return {"seconds": time.perf_counter() - started, "tokens": tokens}


if __name__ == "__main__":
    answer_all(BareEngine(Path(sys.argv[1])).generate)
