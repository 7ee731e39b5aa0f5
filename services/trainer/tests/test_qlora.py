"""QLoRA: an adapter that is trained over a base in four bits, and served over the whole one."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill_jobs.child import ChildFailure
from modelmill_testkit.waiting import eventually
from modelmill_trainer.domain.auto_choices import RunSize, decide_auto_choices
from modelmill_trainer.domain.distribution import Distribution, undivided
from modelmill_trainer.domain.hyper_parameters import decide
from modelmill_trainer.domain.resource_estimate import training_needs
from modelmill_trainer.training import model as model_module
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.token_tree import TokenTree
from peft import PeftModel
from torch import nn
from trainer_support.runs import stir
from transformers import AutoModelForCausalLM

pytestmark = pytest.mark.heavy

Rows = Callable[..., list[dict[str, Any]]]


def four_bit_layers(model: TrainedModel) -> dict[str, Linear4bit]:
    layers = model.module.get_base_model().named_modules()
    # Of an adapted layer the base is one level below.
    return {
        name.replace(".base_layer", ""): it for name, it in layers if isinstance(it, Linear4bit)
    }


def outcome(model: TrainedModel, tree: TokenTree) -> list[torch.Tensor]:
    """Logits after each node, and the gradient of each adapter's weight."""
    logits = model.logits(tree, range(len(tree)))
    logits.square().mean().backward()  # type: ignore[no-untyped-call]
    gradients = [weight.grad for weight in model.trainable.values()]
    return [logits.detach(), *(one for one in gradients if one is not None)]


def test_all_projections_are_in_four_bits_and_the_rest_is_not(tiny_base: Path) -> None:
    model = TrainedModel.load(tiny_base, decide("qlora", {}), "mv-base")

    assert len(four_bit_layers(model)) == 2 * 7
    for layer in four_bit_layers(model).values():
        assert layer.weight.element_size() * layer.weight.numel() == layer.in_features * (
            layer.out_features // 2
        )
        assert layer.weight.quant_state.quant_type == "nf4"
        assert layer.weight.quant_state.nested
    assert all(weight.dtype == torch.float32 for weight in model.trainable.values())
    assert all("lora_" in name for name in model.trainable)


def test_it_learns_what_lora_learns_over_the_rounded_base(
    tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_module, "compute_dtype", lambda: torch.float32)
    packed = TrainedModel.load(tiny_base, decide("qlora", {}), "mv-base")
    rounded = TrainedModel.load(tiny_base, decide("lora", {}), "mv-base")
    layers = four_bit_layers(packed)
    with torch.no_grad():
        for name, layer in rounded.module.get_base_model().named_modules():
            whole = layers.get(name.replace(".base_layer", ""))
            if whole is not None and isinstance(layer, nn.Linear):
                layer.weight.copy_(dequantize_4bit(whole.weight, whole.weight.quant_state))
    stir(packed)
    rounded.load_weights(packed.trainable)
    tree = TokenTree()
    tree.add(range(5, 60))

    for one, other in zip(outcome(packed, tree), outcome(rounded, tree), strict=True):
        assert float((one - other).norm()) < 1e-4 * float(other.norm())


def test_evaluation_leaves_training_as_it_was(tiny_base: Path) -> None:
    model = TrainedModel.load(tiny_base, decide("qlora", {}), "mv-base")
    stir(model)
    tree = TokenTree()
    tree.add(range(5, 60))
    model.train(True)
    before = outcome(model, tree)[0]

    model.train(False)
    with torch.no_grad():
        evaluated = model.logits(tree, range(len(tree)))

    model.train(True)
    assert torch.equal(outcome(model, tree)[0], before)
    assert torch.equal(evaluated, before)


def test_the_automatic_rate_is_that_of_lora() -> None:
    rates = [
        decide_auto_choices(decide(method, {}), RunSize(rows=300, tokens=12_000, width=576)).chosen
        for method in ("lora", "qlora")
    ]

    assert rates[0] == rates[1]


def test_a_worker_without_bitsandbytes_says_so(
    tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)

    with pytest.raises(ChildFailure, match="BITSANDBYTES_NOT_INSTALLED"):
        TrainedModel.load(tiny_base, decide("qlora", {}), "mv-base")


async def test_a_job_trains_an_adapter_that_peft_applies_to_the_whole_base(
    working_trainer: Any, toy_rows: Rows, quick: dict[str, Any]
) -> None:
    trainer = working_trainer
    base = await trainer.import_base()
    await trainer.add_dataset(
        train=toy_rows(96), valid=toy_rows(6, first=96), test=toy_rows(15, first=102)
    )
    job = await trainer.create(
        pb.TrainSpec(
            base_version_id=base.version_id,
            dataset_id="ds-toy",
            method=pb.TRAINING_METHOD_QLORA,
            evaluate=True,
            hyper_parameters=pb.HyperParameters(**quick | {"epochs": 3}),
        )
    )

    state = await trainer.ended(job.job_id)

    assert state.status == JOB_STATUS_SUCCEEDED, state.error
    summary = state.result.summary
    assert summary["last_loss"] < summary["first_loss"] / 4
    # Both are scored as they are served: over the base as it is stored.
    assert summary["accuracy_tuned"]["mean"] == 1.0
    assert summary["differences"]["tuned-base"]["low"] > 0
    [ready] = await eventually(lambda: trainer.announced(job.job_id))
    assert (ready.form, ready.method) == ("adapter", "qlora")
    parity = trainer.store.manifest(ready.digest).attributes["parity"]
    assert parity["forms"][-1]["largest_share"] < 0.0001
    whole = AutoModelForCausalLM.from_pretrained(trainer.store.materialise(base.digest))
    adapted = PeftModel.from_pretrained(whole, trainer.store.materialise(ready.digest))
    assert adapted.peft_config["default"].r == 8


def test_it_needs_the_memory_of_lora_and_one_process() -> None:
    """The artifact is checked over the whole base, in main memory."""
    choices = decide("qlora", {})

    assert training_needs(choices, 1 << 30) == training_needs(decide("lora", {}), 1 << 30)
    assert undivided(choices, Distribution(ranks=2)) == [
        "distribution: method qlora runs in one process. Leave it out"
    ]
