"""The model that a build is made from: base and adapter as one set of bf16 weights (torch)."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from transformers import AutoModelForCausalLM

from modelmill_optimizer_builder.domain.not_mergeable import NotMergeableError

Logits = NDArray[np.float32]


class MergedModel:
    """A causal language model whose weights are bf16 numbers.

    The adapter is added in fp32 and the sum rounded to bf16 once. Merged in bf16, its product would
    be rounded before the sum as well, and a small update of a large weight would be lost in part.
    """

    def __init__(self, module: Any) -> None:
        self.module = module

    @classmethod
    def load(
        cls,
        base: Path,
        adapter: Path | None,
        look: Callable[[Any], None] = lambda _module: None,
    ) -> "MergedModel":
        """Read safetensors and, unless None, the PEFT adapter on top of them; nothing runs code.

        Args:
            look: Shown the module in fp32, before its weights are rounded.

        Raises:
            NotMergeableError: The adapter is none that becomes part of weights.
            ValueError: The merge gives a weight that is not a number.
        """
        if adapter is not None:
            _refuse_beginning(adapter)
        module: Any = AutoModelForCausalLM.from_pretrained(
            base, dtype=torch.float32, local_files_only=True, use_safetensors=True
        )
        if adapter is not None:
            module = PeftModel.from_pretrained(module, adapter, local_files_only=True)
            module = module.merge_and_unload(safe_merge=True)
        look(module.eval())
        return cls(module.to(torch.bfloat16))

    @property
    def context_tokens(self) -> int:
        """Longest conversation, prompt and answer together."""
        return int(self.module.config.max_position_embeddings)

    def save(self, folder: Path) -> int:
        """Write bf16 safetensors and return the bytes of the weight files."""
        self.module.save_pretrained(folder, safe_serialization=True)
        return sum(path.stat().st_size for path in folder.glob("*.safetensors"))

    def greedy_logits(self, prompt: Sequence[int], steps: int) -> tuple[list[int], list[Logits]]:
        """The likeliest `steps` tokens after `prompt`, and the logits each was chosen by.

        Computed in fp32, so that what differs from them is somebody else's error.
        """
        ids, chosen = list(prompt), []
        module = self.module.float()
        with torch.inference_mode():
            for _ in range(steps):
                outputs = module(torch.tensor([ids]), use_cache=False, logits_to_keep=1)
                logits = outputs.logits[0, -1]
                chosen.append(logits.numpy())
                ids.append(int(logits.argmax()))
        module.to(torch.bfloat16)  # exact: every weight was a bf16 number before
        return ids[len(prompt) :], chosen


def _refuse_beginning(adapter: Path) -> None:
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    if config.get("peft_type") != "LORA":
        raise NotMergeableError(
            f"an adapter of type {config.get('peft_type')} stands before every text and cannot be "
            "merged into weights"
        )
