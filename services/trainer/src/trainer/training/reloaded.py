"""The artifact read back from disk as transformers serves it: nothing of the trainer's own code."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from evaluation.parity.goldens import Goldens, Logits
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

FORMAT = torch.float32
"""As the transformers engine computes on a processor; weights of 16 bits lose nothing by it."""


class TransformersTokenizer:
    """A folder's tokenizer and chat template by transformers, where goldens are by our own."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)

    def render(
        self, messages: Sequence[Any], *, add_generation_prompt: bool, tools: Sequence[Any] = ()
    ) -> str:
        """See `evaluation.parity.taking.PromptTokenizer`."""
        text: str = self._tokenizer.apply_chat_template(
            list(messages),
            tools=[{"type": "function", "function": dict(tool)} for tool in tools] or None,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
        )
        return text

    def encode(self, text: str) -> list[int]:
        """Ids of the text as it is."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids


@torch.no_grad()
def reloaded_logits(artifact: Path, base: Path, goldens: Goldens) -> Iterator[Logits]:
    """(P, V) of each golden, by the weights of `artifact`; of an adapter upon those of `base`."""
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
        # From the end: a method may put positions of its own before the prompt.
        yield rows[-len(golden.continuation) :].float().numpy()
