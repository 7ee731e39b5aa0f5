# SPDX-License-Identifier: Apache-2.0
"""The runtime of a bundle with an ONNX build: ONNX Runtime GenAI."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read as the library is loaded

import onnxruntime_genai as genai

LEAST_TEMPERATURE = 0.001
"""Below it an answer is greedy: logits would overflow."""

CHARACTER_BYTES = 4
"""Of a character in UTF-8 at most, and so the tokens that may hold parts of one."""


class OnnxAlone:
    """A model of a folder; tokens of `ends` end an answer, and without any it fills its length."""

    def __init__(self, folder: Path, threads: int) -> None:
        config: Any = genai.Config(str(folder))
        if threads:
            session = {"session_options": {"intra_op_num_threads": threads}}
            config.overlay(json.dumps({"model": {"decoder": session}}))
        self._model: Any = genai.Model(config)
        self._tokenizer: Any = genai.Tokenizer(self._model)

    def encode(self, messages: Sequence[Any]) -> list[int]:
        turns = json.dumps(messages)
        text = self._tokenizer.apply_chat_template(turns, add_generation_prompt=True)
        return [int(token) for token in self._tokenizer.encode(text)]

    def decode(self, tokens: Sequence[int]) -> str:
        text = str(self._tokenizer.decode(list(tokens)))
        if "\ufffd" not in text or len(tokens) == 1:
            return text
        # GenAI's ends at the first bytes that are no character, so that these are decoded apart.
        for size in range(1, CHARACTER_BYTES + 1):
            if "\ufffd" not in (begin := str(self._tokenizer.decode(list(tokens[:size])))):
                return begin + self.decode(tokens[size:])
        return "\ufffd" + self.decode(tokens[1:])

    def generate(self, prompt: list[int], ends: list[int], **wanted: Any) -> Iterator[int]:
        options: Any = genai.GeneratorParams(self._model)
        most = len(prompt) + wanted["max_tokens"]
        # Tokens that end an answer are known from genai_config.json; without any it must go on.
        options.set_search_options(max_length=most, min_length=0 if ends else most)
        is_drawn = wanted["temperature"] >= LEAST_TEMPERATURE
        options.set_search_options(do_sample=is_drawn, num_beams=1)
        if is_drawn:
            options.set_search_options(temperature=wanted["temperature"], top_p=wanted["top_p"])
            options.set_search_options(random_seed=wanted["seed"])
        generator: Any = genai.Generator(self._model, options)
        generator.append_tokens(prompt)
        while not generator.is_done():
            generator.generate_next_token()
            yield int(generator.get_next_tokens()[0])


def open_engine(folder: Path, threads: int) -> OnnxAlone:
    """What `run.Model` answers with."""
    return OnnxAlone(folder, threads)
