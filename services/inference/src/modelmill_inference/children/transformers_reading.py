"""What a model makes of texts that are there already: likelihoods and vectors (torch)."""

from typing import Any

import torch
from torch import Tensor

from modelmill_inference.children.runner import Slices
from modelmill_inference.children.transformers_model import CausalModel, Memory


def score_in_slices(
    model: CausalModel, prompt: list[int], continuations: list[list[int]]
) -> Slices[list[list[Any]]]:
    """`[log_likelihood, is_greedy]` of each continuation; the prompt is read once."""
    memory, behind = model.new_memory(), torch.empty(0)
    while prompt:
        piece = model.piece(prompt)
        behind, prompt = model.read(piece, memory), prompt[len(piece) :]
        yield
    scores = []
    for tokens in continuations:
        scores.append((yield from _score(model, tokens, behind, memory.copy())))
    return scores


def _score(
    model: CausalModel, tokens: list[int], behind: Tensor, memory: Memory
) -> Slices[list[Any]]:
    """Of one continuation; `behind` are the (1, V) logits behind the prompt."""
    total, is_greedy, done, logits = 0.0, True, 0, behind
    while True:
        meant = torch.tensor(tokens[done : done + len(logits)])
        total += float(logits.log_softmax(-1).gather(1, meant[:, None]).sum())
        is_greedy = is_greedy and bool((logits.argmax(-1) == meant).all())
        done += len(logits)
        if done == len(tokens):
            return [total, is_greedy]
        piece = model.piece(tokens[done - 1 : -1])
        logits = model.read(piece, memory, keep=len(piece))
        yield


def embed_in_slices(model: CausalModel, texts: list[list[int]]) -> Slices[list[list[float]]]:
    """The vector of each text."""
    vectors = []
    for tokens in texts:
        vectors.append(model.vector(tokens))
        yield
    return vectors
