"""A student that follows a teacher comes nearer to it than one that only reads the answers."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from modelmill_jobs.child import ChildFailure
from modelmill_testkit.models import make_tiny_llama
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.domain.hyper_parameters import HyperParameters, decide
from modelmill_trainer.domain.methods import DISTILLATION
from modelmill_trainer.training import model as model_module
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.objective import answer_loss, held_out_loss
from modelmill_trainer.training.objectives import distillation
from modelmill_trainer.training.objectives.distillation import DistillationObjective
from modelmill_trainer.training.objectives.make_objective import make_objective
from modelmill_trainer.training.packs import TrainingExample, answer_tokens, pack
from modelmill_trainer.training.rows import encode_rows
from trainer_support.runs import QUICK, gradients_of, run, stir

pytestmark = pytest.mark.heavy


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(model_module, "compute_dtype", lambda: torch.float32)


@pytest.fixture(scope="module")
def teacher_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llama(tmp_path_factory.mktemp("teacher"), seed=7)


@pytest.fixture
def examples(tiny_base: Path, toy_rows: Any) -> list[TrainingExample]:
    tokenizer = ChatTokenizer.load(tiny_base)
    return encode_rows(toy_rows(16), tokenizer, split="train", max_tokens=512)


def chosen(**changes: Any) -> HyperParameters:
    return decide("lora", QUICK | {"lora_rank": 8, **changes}, objective=DISTILLATION)


def divergence(student: TrainedModel, teacher: TrainedModel, rows: list[TrainingExample]) -> float:
    """Mean KL of a learned token from teacher to student, written out once more."""
    student.train(False)
    summed = 0.0
    with torch.no_grad():
        for part in pack(rows):
            taught = torch.softmax(teacher.logits(part.tree, part.predicting), dim=-1)
            learned = torch.log_softmax(student.logits(part.tree, part.predicting), dim=-1)
            summed += float((taught * (taught.log() - learned)).sum())
    return summed / answer_tokens(rows)


def test_distillation_brings_the_student_closer_to_the_teacher_than_fine_tuning(
    tiny_base: Path, teacher_folder: Path, examples: list[TrainingExample]
) -> None:
    teacher = TrainedModel.load_frozen(teacher_folder)
    found = {}
    for share in (0.0, 1.0):
        choices = chosen(epochs=16, distillation_weight=share or 0.5)
        student = TrainedModel.load(tiny_base, choices, "mv-base")
        before = divergence(student, teacher, examples)
        objective = DistillationObjective(teacher, choices) if share else None
        run(student, examples, choices, objective)
        found[share] = divergence(student, teacher, examples)

    assert found[1.0] < 0.6 * before
    assert found[1.0] < 0.5 * found[0.0]


def test_the_loss_is_the_weighted_sum_of_cross_entropy_and_divergence(
    tiny_base: Path, teacher_folder: Path, examples: list[TrainingExample]
) -> None:
    teacher = TrainedModel.load_frozen(teacher_folder)
    choices = chosen(distillation_temperature=1.0, distillation_weight=0.3)
    student = TrainedModel.load(tiny_base, choices, "mv-base")
    student.train(False)
    objective = DistillationObjective(teacher, choices)

    with torch.no_grad():
        answers = sum(float(answer_loss(student, part)) for part in pack(examples))
    answers /= answer_tokens(examples)
    taught = divergence(student, teacher, examples)

    loss = held_out_loss(objective, student, examples)
    assert loss == pytest.approx(0.7 * answers + 0.3 * taught, rel=1e-4)
    assert objective.figures()["teacher_divergence"] == pytest.approx(taught, rel=1e-4)


def test_temperature_applies_to_both_models_and_its_square_scales_the_loss(
    tiny_base: Path, teacher_folder: Path, examples: list[TrainingExample]
) -> None:
    teacher = TrainedModel.load_frozen(teacher_folder)
    choices = chosen(distillation_temperature=3.0, distillation_weight=1.0)
    student = TrainedModel.load(tiny_base, choices, "mv-base")
    student.train(False)
    [part] = pack(examples[:2], max_nodes=10_000)

    with torch.no_grad():
        taught = torch.softmax(teacher.logits(part.tree, part.predicting) / 3, dim=-1)
        learned = torch.softmax(student.logits(part.tree, part.predicting) / 3, dim=-1)
    by_hand = 9 * float((taught * (taught / learned).log()).sum()) / len(part.targets)

    loss = held_out_loss(DistillationObjective(teacher, choices), student, examples[:2])
    assert loss == pytest.approx(by_hand, rel=1e-4)


def test_chunks_and_micro_batches_do_not_change_the_loss_and_the_teacher_is_frozen(
    tiny_base: Path,
    teacher_folder: Path,
    examples: list[TrainingExample],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    teacher, choices = TrainedModel.load_frozen(teacher_folder), chosen()
    student = TrainedModel.load(tiny_base, choices, "mv-base")
    stir(student)
    whole, gradients = gradients_of(student, DistillationObjective(teacher, choices), examples)

    monkeypatch.setattr(distillation, "CHUNK_TOKENS", 5)
    parts, others = gradients_of(
        student, DistillationObjective(teacher, choices), examples, parts=4
    )

    assert parts == pytest.approx(whole, rel=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(others[name], gradient, rtol=1e-3, atol=1e-6)
    assert not teacher.trainable
    assert all(weight.grad is None for weight in teacher._model.parameters())


def request_of(tiny_base: Path, teacher: Path) -> TrainRequest:
    return TrainRequest(
        base_folder=tiny_base,
        base_version_id="mv-base",
        context_tokens=512,
        dataset_folder=tiny_base,
        checkpoint_folder=None,
        choices=(),
        hyper_parameters=chosen(),
        threads=1,
        teacher_folder=teacher,
    )


def test_a_teacher_that_differs_in_its_post_processor_teaches(
    tmp_path: Path, tiny_base: Path
) -> None:
    teacher = make_tiny_llama(tmp_path / "teacher", seed=7)
    tokenizer = json.loads((teacher / "tokenizer.json").read_text())
    tokenizer["post_processor"] = {"type": "Sequence", "processors": []}
    (teacher / "tokenizer.json").write_text(json.dumps(tokenizer))

    assert isinstance(make_objective(request_of(tiny_base, teacher)), DistillationObjective)


def test_a_teacher_with_another_tokenizer_is_refused(tmp_path: Path, tiny_base: Path) -> None:
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|more|>")
    foreign = make_tiny_llama(tmp_path / "foreign", special=special)

    with pytest.raises(ChildFailure) as refused:
        make_objective(request_of(tiny_base, foreign))

    assert refused.value.code == "FOREIGN_TEACHER"
