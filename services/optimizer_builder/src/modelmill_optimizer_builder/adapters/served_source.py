"""A source in torch, as the transformers engine serves it on a CPU: float32, requests in turn."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
from transformers.cache_utils import DynamicCache

from modelmill_optimizer_builder.adapters.round_robin_served import answer_in_turn
from modelmill_optimizer_builder.measure_load import OnStep

PIECE_TOKENS = 512


class SourceServed:
    """A model, with its adapter beside the weights of its base."""

    def __init__(self, folder: Path, adapter: Path | None) -> None:
        module: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, use_safetensors=True
        )
        if adapter is not None:
            module = PeftModel.from_pretrained(module, adapter, local_files_only=True)
        self._module = module.eval()

    def answer(
        self, prompts: Sequence[Sequence[int]], new_tokens: int, on_step: OnStep
    ) -> list[list[float]]:
        """See `modelmill_optimizer_builder.measure_load.ServedModel`."""
        readers = [_TorchText(self._module) for _ in prompts]
        return answer_in_turn(readers, prompts, new_tokens, PIECE_TOKENS, on_step)


class _TorchText:
    def __init__(self, module: Any) -> None:
        self._module = module
        self._cache: Any = DynamicCache(config=module.config)

    @torch.inference_mode()
    def read(self, tokens: Sequence[int]) -> int:
        outputs = self._module(
            input_ids=torch.tensor([list(tokens)]),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return int(outputs.logits[0, -1].argmax())
