"""The reference engine's runner in this process: one of its own starts for seconds."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
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


def check_scores_and_vectors(runner: Any, reference: Any) -> None:
    """Scores of continuations and a text's vector are those that transformers computes."""
    likeliest = answers(runner, {"max_new_tokens": 20})[1]
    texts = [likeliest, [5], list(range(100, 140)), [likeliest[0]]]

    scores = done(runner.score(PROMPT, texts))
    (vector,) = done(runner.embed([PROMPT]))

    for tokens, (total, is_greedy) in zip(texts, scores, strict=True):
        with torch.no_grad():
            read = reference(torch.tensor([PROMPT + tokens]), output_hidden_states=True)
        told = read.logits[0, len(PROMPT) - 1 : -1].log_softmax(-1)
        assert total == pytest.approx(
            float(told.gather(1, torch.tensor(tokens)[:, None]).sum()), abs=1e-3
        )
        assert is_greedy == (tokens == likeliest[: len(tokens)])
    mean = read.hidden_states[-1][0, : len(PROMPT)].mean(0)
    assert vector == pytest.approx((mean / mean.norm()).tolist(), abs=1e-4)
