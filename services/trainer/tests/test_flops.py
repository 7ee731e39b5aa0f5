"""What training is said to need is what torch counts, less what nobody needs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_trainer.domain.hyper_parameters import decide
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.objective import answer_loss
from modelmill_trainer.training.packs import Pack, pack
from modelmill_trainer.training.rows import encode_rows
from torch.utils.flop_counter import FlopCounterMode

pytestmark = pytest.mark.heavy

Rows = Callable[..., list[dict[str, Any]]]
TOLERANCE = 0.02
"""Rotations of positions, and the input gradient of a first layer below which nothing learns."""


@pytest.fixture
def one_row(tiny_base: Path, toy_rows: Rows) -> Pack:
    tokenizer = ChatTokenizer.load(tiny_base)
    [packed] = pack(encode_rows(toy_rows(1), tokenizer, split="train", max_tokens=512))
    return packed


def unneeded(model: TrainedModel, row: Pack, *, backward: bool) -> float:
    """Attention to what comes later, which torch computes and masks: n^2 pairs, not n (n+1) / 2."""
    config = model.module.config
    features = config.num_hidden_layers * config.hidden_size
    nodes = len(row.tree)
    return (12 if backward else 4) * features * (nodes**2 - nodes * (nodes + 1) / 2)


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
@pytest.mark.parametrize("backward", [False, True])
def test_flops_equal_those_that_torch_counts(
    tiny_base: Path, one_row: Pack, method: str, backward: bool
) -> None:
    # With dropout adapters are computed by PEFT's operations, all of which torch counts.
    choices = decide(method, {} if method == "full" else {"lora_dropout": 0.1})
    model = TrainedModel.load(tiny_base, choices, "mv-base")
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(backward):
        loss = answer_loss(model, one_row)
        if backward:
            loss.backward()  # type: ignore[no-untyped-call]

    counted = counter.get_total_flops() - unneeded(model, one_row, backward=backward)
    tolerance = TOLERANCE if method == "full" or not backward else 0.1
    assert model.work.flops == pytest.approx(counted, rel=tolerance)


def test_shared_prefixes_count_once(tiny_base: Path, toy_rows: Rows, one_row: Pack) -> None:
    tokenizer = ChatTokenizer.load(tiny_base)
    twice = encode_rows(toy_rows(1) * 2, tokenizer, split="train", max_tokens=512)
    [packed] = pack(twice)
    model = TrainedModel.load(tiny_base, decide("lora", {}), "mv-base")
    answer_loss(model, one_row)
    alone = model.work.flops
    answer_loss(model, packed)

    # The same row again costs its head once more, and nothing else.
    head = model.work.flops - 2 * alone
    assert 0 < head < 0.5 * alone
