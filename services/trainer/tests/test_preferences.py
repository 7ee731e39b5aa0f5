"""What is preferred gains on what is not, however the step is laid out."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.domain.hyper_parameters import decide
from modelmill_trainer.domain.methods import DPO, KTO
from modelmill_trainer.training import model as model_module
from modelmill_trainer.training.answer_packs import (
    CandidateAnswer,
    chosen_answer,
    likelihoods,
    pack_answers,
    rejected_answer,
)
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.objective import Objective, held_out_loss
from modelmill_trainer.training.objectives.make_objective import make_objective, with_references
from modelmill_trainer.training.objectives.preferences import DpoObjective, KtoObjective
from modelmill_trainer.training.packs import TrainingExample
from modelmill_trainer.training.rows import LossSelection, encode_rows
from trainer_support.runs import QUICK, gradients_of, pair_rows, run, stir

pytestmark = pytest.mark.heavy


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(model_module, "compute_dtype", lambda: torch.float32)


@pytest.fixture
def pairs(tiny_base: Path) -> list[TrainingExample]:
    tokenizer = ChatTokenizer.load(tiny_base)
    part = LossSelection(DPO)
    return encode_rows(pair_rows(16), tokenizer, split="train", max_tokens=512, part=part)


def adapted(base: Path, objective: str = DPO, **changes: Any) -> TrainedModel:
    choices = decide("lora", {"lora_rank": 4, **changes}, objective=objective)
    return TrainedModel.load(base, choices, "mv-base")


def margins(model: TrainedModel, rows: Sequence[TrainingExample]) -> list[float]:
    """Of each pair how much likelier the better answer is than the worse one."""
    found: list[float] = []
    model.train(False)
    with torch.no_grad():
        for pack in pack_answers((chosen_answer(row), rejected_answer(row)) for row in rows):
            pair = likelihoods(model, pack).view(-1, 2)
            found += (pair[:, 0] - pair[:, 1]).tolist()
    return found


def alone(model: TrainedModel, answer: CandidateAnswer) -> float:
    """The log-likelihood of an answer by transformers' own causal mask and attention."""
    whole = model._model
    whole.set_attn_implementation("sdpa")
    ids = torch.tensor([answer.prompt + answer.ids])
    with torch.no_grad():
        logits = whole(input_ids=ids).logits[0].float()
    whole.set_attn_implementation("token_tree")
    spoken = torch.log_softmax(logits[len(answer.prompt) - 1 : -1], dim=-1)
    return float(spoken.gather(1, torch.tensor(answer.ids)[:, None]).sum())


def test_answers_that_share_a_prompt_have_the_likelihood_of_separate_rows(
    tiny_base: Path, pairs: list[TrainingExample]
) -> None:
    model = adapted(tiny_base)
    stir(model)
    model.train(False)
    groups = [(chosen_answer(row), rejected_answer(row)) for row in pairs[:4]]

    [pack] = pack_answers(groups, max_nodes=10_000)
    in_tree = likelihoods(model, pack).tolist()

    each = [answer for group in groups for answer in group]
    assert in_tree == pytest.approx([alone(model, answer) for answer in each], rel=1e-4)
    # The tree has each prompt once, and what both answers begin with.
    spoken = sum(len(answer.prompt + answer.ids) for answer in each)
    assert len(pack.tree) < 0.45 * spoken


def test_a_new_adapter_has_no_preference(tiny_base: Path, pairs: list[TrainingExample]) -> None:
    model, objective = adapted(tiny_base), DpoObjective(0.5)

    loss, _ = gradients_of(model, objective, pairs)

    assert loss == pytest.approx(math.log(2), abs=1e-7)
    assert objective.figures() == {"reward_margin": 0.0, "reward_accuracy": 0.0}


def test_the_reference_of_a_continued_run_is_its_initial_adapter(
    tiny_base: Path, pairs: list[TrainingExample], tmp_path: Path
) -> None:
    earlier = adapted(tiny_base)
    stir(earlier)
    earlier.save(tmp_path)
    choices = decide("lora", {"lora_rank": 4, "preference_beta": 0.5}, objective=DPO)
    request = TrainRequest(
        base_folder=tiny_base,
        base_version_id="mv-base",
        context_tokens=512,
        dataset_folder=tmp_path,
        checkpoint_folder=None,
        choices=(),
        hyper_parameters=choices,
        threads=1,
        adapter_folder=tmp_path,
    )
    model = TrainedModel.load(tiny_base, choices, "mv-base", tmp_path)
    objective = DpoObjective(0.5)

    rows = with_references(pairs, request, model, lambda _done, _all: None)

    loss, _ = gradients_of(model, objective, rows)
    assert loss == pytest.approx(math.log(2), abs=1e-6)
    assert gradients_of(model, objective, pairs)[0] != pytest.approx(loss, abs=1e-3)


def test_dpo_raises_chosen_answers_above_rejected_ones(
    tiny_base: Path, pairs: list[TrainingExample]
) -> None:
    choices = decide("lora", QUICK | {"epochs": 4}, objective=DPO)
    model = TrainedModel.load(tiny_base, choices, "mv-base")
    before = margins(model, pairs)

    loop = run(model, pairs, choices, DpoObjective(choices.preference_beta))

    after = margins(model, pairs)
    assert all(now > then + 1 for now, then in zip(after, before, strict=True))
    assert loop.progress.last_loss is not None
    assert loop.progress.last_loss < math.log(2) - 0.05


@pytest.mark.parametrize("make", [DpoObjective, KtoObjective])
def test_the_loss_of_a_step_does_not_depend_on_micro_batches(
    tiny_base: Path, pairs: list[TrainingExample], make: Callable[[float], Objective]
) -> None:
    model = adapted(tiny_base)
    stir(model)

    whole, gradients = gradients_of(model, make(0.1), pairs)
    parts, others = gradients_of(model, make(0.1), pairs, parts=4)

    assert parts == pytest.approx(whole, rel=1e-5)
    for name, gradient in gradients.items():
        assert float((others[name] - gradient).norm()) < 1e-4 * float(gradient.norm()) + 1e-9, name


def test_a_full_run_precomputes_reference_likelihoods(
    tiny_base: Path, pairs: list[TrainingExample]
) -> None:
    choices = decide("full", QUICK | {"epochs": 4, "learning_rate": 0.003}, objective=DPO)
    model = TrainedModel.load(tiny_base, choices, "mv-base")
    request = request_of(tiny_base, choices)
    asked: list[int] = []
    known = with_references(pairs, request, model, lambda done, _total: asked.append(done))
    objective = make_objective(request)

    assert asked == [0]
    assert held_out_loss(objective, model, known) == pytest.approx(math.log(2), abs=1e-5)
    run(model, known, choices, objective)
    assert held_out_loss(objective, model, known) < math.log(2) - 0.05
    # With the reference asked now, of a model that has moved, it would still be log 2.
    assert held_out_loss(objective, model, pairs) == pytest.approx(math.log(2), abs=1e-5)


def request_of(base: Path, choices: Any) -> TrainRequest:
    return TrainRequest(
        base_folder=base,
        base_version_id="mv-base",
        context_tokens=512,
        dataset_folder=base,
        checkpoint_folder=None,
        choices=(),
        hyper_parameters=choices,
        threads=1,
    )


def test_kto_raises_desirable_and_lowers_undesirable_answers(
    tiny_base: Path, pairs: list[TrainingExample]
) -> None:
    choices = decide("lora", QUICK | {"epochs": 4}, objective=KTO)
    model = TrainedModel.load(tiny_base, choices, "mv-base")
    objective = KtoObjective(choices.preference_beta)
    before = margins(model, pairs)

    loop = run(model, pairs, choices, objective)

    assert all(now > then + 1 for now, then in zip(margins(model, pairs), before, strict=True))
    figures = objective.figures()
    assert figures["reward_wanted"] > figures["reward_unwanted"]
    assert loop.progress.first_loss == pytest.approx(0.5, abs=1e-6)


def test_kto_learns_from_answers_without_a_rejected_one(
    tiny_base: Path, pairs: list[TrainingExample]
) -> None:
    model = adapted(tiny_base, KTO)
    lonely = [TrainingExample(row.ids, row.spans) for row in pairs]

    _, gradients = gradients_of(model, KtoObjective(0.1), lonely)

    assert any(float(gradient.norm()) > 0 for gradient in gradients.values())
    assert KtoObjective(0.1).weight([*lonely, pairs[0]]) == len(lonely) + 2


def test_the_kto_reference_point_uses_mismatched_pairs(
    tiny_base: Path, pairs: list[TrainingExample]
) -> None:
    model, objective = adapted(tiny_base, KTO), KtoObjective(1.0)
    objective.begin_step(model, pairs)
    assert objective.figures()["reward_reference"] == 0.0
    choices = decide("lora", QUICK | {"epochs": 3}, objective="answers")
    run(model, [TrainingExample(row.ids, row.spans) for row in pairs], choices)

    objective.begin_step(model, pairs)

    assert objective.figures()["reward_reference"] > 0.1
