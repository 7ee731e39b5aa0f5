"""The reference engine's runner in this process: one of its own starts for seconds."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from modelmill_inference.children.runner import Runner
from modelmill_inference.children.transformers import open_runner
from transformers import AutoModelForCausalLM

PROMPT = list(range(20, 60))
PLAIN = {
    "id": 1,
    "prompt": PROMPT,
    "max_new_tokens": 24,
    "temperature": 0.0,
    "top_p": 1.0,
    "top_k": 0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "repetition_penalty": 1.0,
    "seed": 0,
    "logprobs": None,
    "grammar": "",
    "eos_ids": [2],
}


@contextmanager
def one_thread() -> Iterator[None]:
    """These models are too small to be shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def opened(folder: Path, adapter: Path | None = None, cache_bytes: int = 1 << 30) -> Any:
    return open_runner(
        {
            "folder": str(folder),
            "adapter": adapter and str(adapter),
            "device": "cpu",
            "dtype": "float32",
            "threads": 0,
            "cache_bytes": cache_bytes,
        }
    )


def answers(runner: Runner, *asked: dict[str, Any]) -> dict[int, list[int]]:
    """Tokens by request, all asked for at once."""
    for add in asked:
        runner.add(PLAIN | add)
    told: dict[int, list[int]] = defaultdict(list)
    while runner.busy:
        for updates in runner.step():
            told[updates.number] += updates.tokens
    return told


def generated(model: Any, **how: Any) -> list[int]:
    """What `generate` of transformers says."""
    ids = torch.tensor([PROMPT])
    mask = torch.ones_like(ids)
    out = model.generate(ids, attention_mask=mask, max_new_tokens=24, pad_token_id=2, **how)
    tokens: list[int] = out[0, len(PROMPT) :].tolist()
    return tokens


def in_transformers(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def done(work: Any) -> Any:
    """The outcome of work in slices."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value
