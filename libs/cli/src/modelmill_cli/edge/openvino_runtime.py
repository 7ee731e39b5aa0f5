# SPDX-License-Identifier: Apache-2.0
"""The runtime of a bundle with an OpenVINO build: OpenVINO GenAI, in the pipeline that serves."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

LEAST_TEMPERATURE = 0.001
"""Below it an answer is greedy: logits would overflow."""


class OpenVinoAlone:
    """A model of a folder; tokens of `ends` end an answer, and without any it fills its length."""

    def __init__(self, folder: Path, threads: int) -> None:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # nothing is sent
        import openvino_genai as genai
        from openvino import Tensor

        self._genai, self._tensor = genai, Tensor
        plan: Any = genai.SchedulerConfig()
        plan.cache_size, plan.max_num_seqs = 1, 1
        properties = {"INFERENCE_NUM_THREADS": str(threads)} if threads else {}
        self._pipeline: Any = genai.ContinuousBatchingPipeline(str(folder), plan, "CPU", properties)
        self._tokenizer: Any = self._pipeline.get_tokenizer()

    def encode(self, messages: Sequence[Any]) -> list[int]:
        text = self._tokenizer.apply_chat_template(list(messages), add_generation_prompt=True)
        ids = self._tokenizer.encode(text, add_special_tokens=False).input_ids
        return [int(token) for token in ids.data[0]]

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens)))

    def generate(self, prompt: list[int], ends: list[int], **wanted: Any) -> Iterator[int]:
        config: Any = self._genai.GenerationConfig()
        config.max_new_tokens, config.stop_token_ids = wanted["max_tokens"], set(ends)
        config.ignore_eos = not ends
        if wanted["temperature"] >= LEAST_TEMPERATURE:
            config.do_sample, config.temperature = True, wanted["temperature"]
            config.top_p, config.rng_seed = wanted["top_p"], wanted["seed"]
        handle = self._pipeline.add_request(0, self._tensor([prompt]), config)
        try:
            while self._pipeline.has_non_finished_requests():
                self._pipeline.step()
                while handle.can_read():
                    for output in handle.read().values():
                        yield from map(int, output.generated_ids)
        finally:
            handle.cancel()
            while self._pipeline.has_non_finished_requests():
                self._pipeline.step()  # which is when it forgets a cancelled request


def open_engine(folder: Path, threads: int) -> OpenVinoAlone:
    """What `run.Model` answers with."""
    return OpenVinoAlone(folder, threads)
