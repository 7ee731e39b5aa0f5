"""The model of an OpenVINO build as transformers and PEFT compute it, with its rounded weights."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from openvino import Core

# torch, transformers and PEFT are imported by what needs them: they take ten seconds, which every
# process that merely collects tests would pay.

_ROUNDED = "._openvino_orig_weight"


class BuildInTransformers:
    """In single precision.

    Args:
        build: the OpenVINO folder.
        source: the Hugging Face folder that it was made of.
    """

    def __init__(self, build: Path, source: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        self._model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
        weights = {name: torch.from_numpy(values) for name, values in _weights(build).items()}
        missing, unknown = self._model.load_state_dict(weights, strict=False)
        assert not unknown
        assert all("norm" in name or name == "lm_head.weight" for name in missing)
        self._model.eval()

    def save(self, folder: Path) -> None:
        """As a Hugging Face folder, without the tokenizer."""
        self._model.save_pretrained(folder)

    def logprobs(self, prompt: Sequence[int], continuation: Sequence[int]) -> list[float]:
        """Of each token of the continuation."""
        logits = self._run([*prompt, *continuation]).logits[0, len(prompt) - 1 : -1]
        rows = logits.log_softmax(-1)
        return [float(rows[place, token]) for place, token in enumerate(continuation)]

    def vector(self, tokens: Sequence[int]) -> list[float]:
        """The mean of the last hidden states, of length 1."""
        mean = self._run(tokens).hidden_states[-1][0].mean(0)
        unit: list[float] = (mean / mean.norm()).tolist()
        return unit

    def greedy(self, prompt: Sequence[int], count: int) -> list[int]:
        """The likeliest tokens."""
        tokens = list(prompt)
        for _ in range(count):
            tokens.append(int(self._run(tokens).logits[0, -1].argmax()))
        return tokens[len(prompt) :]

    def write_adapter(self, folder: Path, *, seed: int, **settings: Any) -> Path:
        """A LoRA adapter with random weights, large enough to change what is said."""
        import torch
        from peft import LoraConfig, get_peft_model

        torch.manual_seed(seed)
        model = get_peft_model(self._model, LoraConfig(**settings))
        for name, values in model.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(values, std=0.3)
        model.save_pretrained(folder)
        self._model = model.unload()
        return folder

    @contextmanager
    def adapted(self, folder: Path | None) -> "Iterator[BuildInTransformers]":
        """With that adapter upon it, or with none."""
        if folder is None:
            yield self
            return
        from peft import PeftModel

        self._model = PeftModel.from_pretrained(self._model, folder).eval()
        yield self
        self._model = self._model.unload()

    def _run(self, tokens: Sequence[int]) -> Any:
        import torch

        with torch.no_grad():
            return self._model(torch.tensor([list(tokens)]), output_hidden_states=True)


def _weights(build: Path) -> dict[str, np.ndarray]:
    model = Core().read_model(build / "openvino_model.xml")
    constants = {
        op.get_friendly_name(): op.data
        for op in model.get_ops()
        if op.get_type_name() == "Constant"
    }
    # In single precision, as the engine does it: the graph's own half-precision nodes, computed one
    # by one, round the products.
    return {
        name.removeprefix("self.").removesuffix(_ROUNDED) + ".weight": (
            values.astype(np.float32) - constants[f"{name}/zero_point"]
        )
        * constants[f"{name}/scale"].astype(np.float32)
        for name, values in constants.items()
        if name.endswith(_ROUNDED)
    }
