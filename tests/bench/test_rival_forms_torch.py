"""Choices that are left out are none that could be the likeliest."""

from pathlib import Path

import torch
from modelmill_testkit.models import make_tiny_llama

from tests.bench.rival_forms_torch import best_and_answer, load

PROMPTS = [[5, 9, 2], [11, 4, 4, 8, 30], [7]]
CHOICES = [[3], [3, 17, 6], [12, 40], [29, 5, 5], [8, 3]]


@torch.inference_mode()
def likelihoods(model: torch.nn.Module, prompt: list[int]) -> list[float]:
    """Of every choice, read whole."""
    found = []
    for choice in CHOICES:
        logits = model(torch.tensor([prompt + choice])).logits[0]
        steps = torch.log_softmax(logits.float(), -1)[len(prompt) - 1 : -1]
        found.append(sum(step[token].item() for step, token in zip(steps, choice, strict=True)))
    return found


def test_the_best_choice_and_the_answers_likelihood_are_those_of_reading_all(tmp_path: Path):
    model = load(str(make_tiny_llama(tmp_path / "tiny")))
    for prompt in PROMPTS:
        expected = likelihoods(model, prompt)
        for answer, right in enumerate(expected):
            best, label = best_and_answer(model, prompt, CHOICES, answer)
            assert best == expected.index(max(expected))
            assert abs(label - right) < 1e-4
