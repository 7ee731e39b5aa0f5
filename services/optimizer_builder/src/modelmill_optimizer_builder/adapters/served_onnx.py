"""An ONNX build in ONNX Runtime GenAI, as the onnx engine serves it: requests in turn."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime_genai

from modelmill_optimizer_builder.adapters.onnx_reader import PIECE_TOKENS
from modelmill_optimizer_builder.adapters.round_robin_served import answer_in_turn
from modelmill_optimizer_builder.measure_load import OnStep


class OnnxServed:
    """One model; each request has a generator, which has its keys and values."""

    def __init__(self, folder: Path, _adapter: Path | None) -> None:
        self._model: Any = onnxruntime_genai.Model(str(folder))

    def answer(
        self, prompts: Sequence[Sequence[int]], new_tokens: int, on_step: OnStep
    ) -> list[list[float]]:
        """See `modelmill_optimizer_builder.measure_load.ServedModel`."""
        readers = [_OnnxText(self._model, len(prompt) + new_tokens) for prompt in prompts]
        return answer_in_turn(readers, prompts, new_tokens, PIECE_TOKENS, on_step)


class _OnnxText:
    def __init__(self, model: Any, most_tokens: int) -> None:
        parameters: Any = onnxruntime_genai.GeneratorParams(model)
        parameters.set_search_options(max_length=most_tokens)
        self._generator: Any = onnxruntime_genai.Generator(model, parameters)

    def read(self, tokens: Sequence[int]) -> int:
        self._generator.append_tokens(np.array(tokens, np.int32))
        return int(self._generator.get_output("logits")[0, -1].argmax())
