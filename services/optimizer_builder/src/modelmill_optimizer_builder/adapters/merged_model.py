"""Merges base and adapter into one set of bf16 weights, the source of a build (torch)."""

import gc
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from modelmill_evaluation.parity.attention_window import attention_window
from numpy.typing import NDArray
from peft import PeftModel
from transformers import AutoModelForCausalLM

from modelmill_optimizer_builder.domain.build_plan import NotMergeableError

Logits = NDArray[np.float32]


class MergedModel:
    """Causal language model with bf16 weights.

    The adapter is added in float32 and the sum is rounded to bf16 once. A merge in bf16 would also
    round the product before the sum, and lose part of a small update of a large weight.
    """

    def __init__(self, module: Any) -> None:
        self.module = module

    @classmethod
    def load(
        cls,
        base: Path,
        adapter: Path | None,
        inspect: Callable[[Any], None] = lambda _module: None,
    ) -> "MergedModel":
        """Load safetensors and merge the PEFT adapter, if any; no code of the model is run.

        Args:
            inspect: Called with the module in float32, before its weights are rounded.

        Raises:
            NotMergeableError: The adapter is a soft prompt, which does not change weights.
            ValueError: The merge gives a weight that is NaN.
        """
        if adapter is not None:
            _refuse_soft_prompt(adapter)
        module: Any = AutoModelForCausalLM.from_pretrained(
            base, dtype=torch.float32, local_files_only=True, use_safetensors=True
        )
        if adapter is not None:
            module = PeftModel.from_pretrained(module, adapter, local_files_only=True)
            module = module.merge_and_unload(safe_merge=True)
        inspect(module.eval())
        round_weights(module)
        return cls(module)

    def release(self) -> None:
        """Free the weights; nothing else may be asked of it."""
        del self.module
        gc.collect()

    @property
    def context_tokens(self) -> int:
        """Longest conversation, prompt and answer together."""
        return int(self.module.config.max_position_embeddings)

    @property
    def window(self) -> int:
        """Tokens that layers look back at most; 0 where they look back at all."""
        return attention_window(self.module.config)

    def save(self, folder: Path) -> int:
        """Write bf16 safetensors and return the bytes of the weight files."""
        self.module.save_pretrained(folder, safe_serialization=True)
        return sum(path.stat().st_size for path in folder.glob("*.safetensors"))

    def greedy_logits(self, prompt: Sequence[int], steps: int) -> tuple[list[int], list[Logits]]:
        """Decode `steps` tokens greedily; returns them with the logits that each was chosen from.

        Computed in float32, so that any difference is an error of the compared form.
        """
        ids, chosen = list(prompt), []
        module = self.module.float()
        with torch.inference_mode():
            for _ in range(steps):
                outputs = module(torch.tensor([ids]), use_cache=False, logits_to_keep=1)
                logits = outputs.logits[0, -1]
                chosen.append(logits.numpy())
                ids.append(int(logits.argmax()))
        round_weights(module)  # exact: every weight was a bf16 number before
        return ids[len(prompt) :], chosen


def round_weights(module: Any) -> None:
    """Round the weights of a module to bf16, in place.

    Its buffers stay as they are: the frequencies of a rotary embedding are float32 in every model,
    and rounded ones turn distant positions by other angles.
    """
    for parameter in module.parameters():
        parameter.data = parameter.data.to(torch.bfloat16)


def reference_module(folder: Path) -> Any:
    """The merged source in float32."""
    module: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, use_safetensors=True
    )
    return module.eval()


def _refuse_soft_prompt(adapter: Path) -> None:
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    if config.get("peft_type") != "LORA":
        raise NotMergeableError(
            f"an adapter of type {config.get('peft_type')} is a soft prompt, which cannot be "
            "merged into weights"
        )
