"""Golden logits of the artifact, reloaded with plain transformers and PEFT."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from modelmill_evaluation.parity.goldens import Goldens, Logits
from peft import PeftModel
from transformers import AutoModelForCausalLM

FORMAT = torch.float32
"""Compute dtype of the transformers engine on CPU; 16-bit weights are represented exactly."""


@torch.no_grad()
def reloaded_logits(artifact: Path, base: Path, goldens: Goldens) -> Iterator[Logits]:
    """(P, V) logits of each golden; an adapter is applied to `base`."""
    is_adapter = (artifact / "adapter_config.json").is_file()
    model: Any = AutoModelForCausalLM.from_pretrained(
        base if is_adapter else artifact,
        dtype=FORMAT,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
    )
    if is_adapter:
        model = PeftModel.from_pretrained(model, artifact, local_files_only=True)
    model.eval()
    for golden in goldens.prompts:
        ids = [*golden.prompt_ids, *golden.continuation[:-1]]
        rows = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
        # Counted from the end: soft prompts add positions before the prompt.
        yield rows[-len(golden.continuation) :].float().numpy()
