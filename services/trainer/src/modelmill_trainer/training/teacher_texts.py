"""Texts that a teacher writes from nothing: general text for distillation, without any data.

Liu et al.: "LLM-QAT: Data-Free Quantization Aware Training for Large Language Models" (2023).
Sampled at temperature 1 from the whole distribution, they show the student what the teacher knows
beside the rows of a task.
"""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from modelmill_trainer.training.adapters import merge_adapter
from modelmill_trainer.training.model import compute_device, compute_dtype, fix_deepseek_v2
from modelmill_trainer.training.packs import TrainingExample

TEXT_TOKENS = 128
TEXTS_AT_A_TIME = 32


def write_teacher_texts(
    folder: Path,
    adapter: Path | None,
    *,
    count: int,
    seed: int,
    report: Callable[[int, int], None],
) -> list[list[int]]:
    """Token ids of `count` texts of at most `TEXT_TOKENS` tokens, each at least 2.

    A text begins with the model's own first token, where it has one, and with a random token
    behind it, so that the texts differ in their subject.

    Args:
        folder: Hugging Face folder of the teacher.
        adapter: PEFT folder of its LoRA adapter, if it has one.
        report: Told how many are written, and of how many.
    """
    model = _read(folder, adapter)
    draw = random.Random(seed)
    torch.manual_seed(seed)
    texts: list[list[int]] = []
    while len(texts) < count:
        report(len(texts), count)
        texts += _written(model, draw, min(TEXTS_AT_A_TIME, count - len(texts)))
    report(count, count)
    return texts


def as_examples(texts: Sequence[Sequence[int]]) -> list[TrainingExample]:
    """Rows whose tokens are all learned."""
    return [TrainingExample(tuple(ids), ((1, len(ids)),)) for ids in texts]


def _read(folder: Path, adapter: Path | None) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=torch.float32 if adapter else compute_dtype(),
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
    )
    fix_deepseek_v2(model)
    if adapter is not None:
        model = merge_adapter(model, adapter)
    model.to(torch.device(compute_device()), compute_dtype())  # type: ignore[arg-type]
    model.eval()
    return model


@torch.no_grad()
def _written(model: PreTrainedModel, draw: random.Random, count: int) -> list[list[int]]:
    first = model.config.bos_token_id
    begun = [] if first is None else [first]
    vocabulary = model.config.vocab_size
    starts = [[*begun, draw.randrange(vocabulary)] for _ in range(count)]
    ids = torch.tensor(starts, device=model.device)
    ends = _end_ids(model)
    written = model.generate(  # type: ignore[operator]
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=TEXT_TOKENS - ids.shape[1],
        pad_token_id=min(ends, default=0),
        use_cache=True,
    )
    return [_up_to_end(row, ids.shape[1], ends) for row in written.tolist()]


def _end_ids(model: PreTrainedModel) -> frozenset[int]:
    ends = model.generation_config.eos_token_id if model.generation_config else None
    return frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])


def _up_to_end(ids: list[int], start: int, ends: frozenset[int]) -> list[int]:
    """What was written up to the first end behind the start, and the end: padding follows."""
    for place in range(start, len(ids)):
        if ids[place] in ends:
            return ids[: place + 1]
    return ids
