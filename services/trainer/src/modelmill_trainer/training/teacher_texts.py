"""Texts that a teacher writes from nothing: general text for distillation, without any data.

Liu et al.: "LLM-QAT: Data-Free Quantization Aware Training for Large Language Models" (2023).
Sampled at temperature 1 from the whole distribution, they show the student what the teacher knows
beside the rows of a task.
"""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from modelmill_trainer.training.adapters import merge_adapter
from modelmill_trainer.training.model import compute_device, compute_dtype, fix_deepseek_v2
from modelmill_trainer.training.packs import TrainingExample

TEXTS_AT_A_TIME = 32


def write_teacher_texts(
    folder: Path,
    adapter: Path | None,
    *,
    count: int,
    max_tokens: int,
    vocab_size: int,
    seed: int,
    report: Callable[[int, int], None],
) -> list[list[int]]:
    """Token ids of `count` texts of at most `max_tokens` tokens, each at least 2.

    A text begins with the model's own first token, where it has one, and with a random token
    behind it, so that the texts differ in their subject.

    Args:
        folder: Hugging Face folder of the teacher.
        adapter: PEFT folder of its LoRA adapter, if it has one.
        max_tokens: At least 4.
        vocab_size: Ids of the tokenizer; rows of the embedding behind them are padding, and differ
            between teacher and student.
        report: Told how many are written, and of how many.
    """
    model = _read(folder, adapter)
    sampling = _sampling(model, max_tokens, vocab_size)
    draw = random.Random(seed)
    torch.manual_seed(seed)
    texts: list[list[int]] = []
    while len(texts) < count:
        report(len(texts), count)
        some = min(TEXTS_AT_A_TIME, count - len(texts))
        texts += _written(model, sampling, draw, vocab_size, some)
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


def _sampling(model: PreTrainedModel, max_tokens: int, vocab_size: int) -> GenerationConfig:
    """Temperature 1, the whole distribution over the tokenizer's ids, and the model's own ends."""
    own = model.generation_config
    config = model.config.get_text_config()
    padded = range(vocab_size, config.vocab_size)
    return GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_length=max_tokens,
        bos_token_id=config.bos_token_id,
        eos_token_id=own.eos_token_id if own else None,
        pad_token_id=0,
        suppress_tokens=[*padded] or None,
    )


@torch.no_grad()
def _written(
    model: PreTrainedModel,
    sampling: GenerationConfig,
    draw: random.Random,
    vocab_size: int,
    count: int,
) -> list[list[int]]:
    first = sampling.bos_token_id
    begun = [] if first is None else [first]
    starts = [[*begun, draw.randrange(vocab_size)] for _ in range(count)]
    ids = torch.tensor(starts, device=model.device)
    written = model.generate(  # type: ignore[operator]
        ids, attention_mask=torch.ones_like(ids), generation_config=sampling
    )
    ends = _end_ids(sampling)
    return [_up_to_end(row, ids.shape[1], ends) for row in written.tolist()]


def _end_ids(sampling: GenerationConfig) -> frozenset[int]:
    ends = sampling.eos_token_id
    return frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])


def _up_to_end(ids: list[int], start: int, ends: frozenset[int]) -> list[int]:
    """What was written up to the first end behind the start, and the end: padding follows."""
    for place in range(start, len(ids)):
        if ids[place] in ends:
            return ids[: place + 1]
    return ids
