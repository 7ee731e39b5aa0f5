"""A teacher that is an adapter, and the texts that a teacher writes for its student."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from modelmill_jobs.child import Preempted
from modelmill_testkit.models import make_tiny_llama
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.domain.hyper_parameters import decide
from modelmill_trainer.domain.methods import DISTILLATION
from modelmill_trainer.training import model as model_module
from modelmill_trainer.training import run_setup
from modelmill_trainer.training.fine_tune import fine_tune
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.packs import pack
from modelmill_trainer.training.rows import encode_rows
from modelmill_trainer.training.teacher_texts import write_teacher_texts
from trainer_support.first_step import BegunError, LoopThatIsSeen
from trainer_support.loops import Port
from trainer_support.runs import QUICK, stir

pytestmark = pytest.mark.heavy

Rows = Callable[..., list[dict[str, Any]]]


class StoppingPort(Port):
    """Told to stop at its first checkpoint, which lasts."""

    @property
    def kept(self) -> Path:
        return self.folder / "kept"

    def checkpoint(self, folder: Path, step: int) -> None:
        super().checkpoint(folder, step)
        shutil.copytree(folder, self.kept, dirs_exist_ok=True)
        self.stop_requested = True


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(model_module, "compute_dtype", lambda: torch.float32)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llama(tmp_path_factory.mktemp("teacher"), seed=7)


@pytest.fixture
def dataset(tmp_path: Path, toy_rows: Rows, write_splits: Callable[..., Path]) -> Path:
    rows = {"train": toy_rows(32), "valid": toy_rows(8, first=32), "test": toy_rows(8, first=40)}
    return write_splits(tmp_path / "rows", rows)


def trained(port: Port, base: Path, teacher: Path, dataset: Path, **more: int) -> Mapping[str, Any]:
    given = QUICK | {"teacher_texts": 24, "checkpoint_steps": 1, "learning_rate": 0.001} | more
    port.request = TrainRequest(
        base_folder=base,
        base_version_id="mv-base",
        context_tokens=512,
        dataset_folder=dataset,
        checkpoint_folder=None,
        choices=(),
        hyper_parameters=decide("lora", given, objective=DISTILLATION),
        threads=1,
        teacher_folder=teacher,
    ).as_json()
    return fine_tune(port)


def resumed_from(broken: StoppingPort, folder: Path) -> Mapping[str, Any]:
    port = Port(folder)
    port.request = broken.request | {"checkpoint_folder": str(broken.kept)}
    return fine_tune(port)


def weights_of(result: Mapping[str, Any]) -> str:
    content = (Path(result["folder"]) / "adapter_model.safetensors").read_bytes()
    return hashlib.sha256(content).hexdigest()


def no_texts(*_: Any, **__: Any) -> list[list[int]]:
    raise AssertionError("texts are written once")


def counted(report: list[tuple[int, int]]) -> Callable[[int, int], None]:
    return lambda done, total: report.append((done, total))


def test_texts_are_the_seeds_of_the_tokenizers_ids_and_end_where_the_teacher_ends(
    tmp_path: Path,
) -> None:
    folder = make_tiny_llama(tmp_path / "teacher", seed=7)
    settings = json.loads((folder / "generation_config.json").read_text())
    # Random weights write any token soon.
    settings["eos_token_id"] = list(range(40))
    (folder / "generation_config.json").write_text(json.dumps(settings))
    told: list[tuple[int, int]] = []

    texts, again, other = [
        write_teacher_texts(
            folder, None, count=40, max_tokens=48, vocab_size=300, seed=seed, report=counted(told)
        )
        for seed in (1, 1, 2)
    ]

    assert texts == again != other
    assert told[:3] == [(0, 40), (32, 40), (40, 40)]
    assert all(2 <= len(ids) <= 48 for ids in texts)
    assert any(len(ids) < 48 for ids in texts)
    assert max(map(max, texts)) < 300
    for ids in texts:
        written = ids[2:]
        assert all(token >= 40 for token in written[:-1])


def test_a_student_learns_rows_and_texts(
    tmp_path: Path, tiny_base: Path, teacher: Path, dataset: Path
) -> None:
    port = Port(tmp_path)

    summary = trained(port, tiny_base, teacher, dataset)["summary"]

    assert (summary["rows"], summary["teacher_texts"]) == (32, 24)
    assert summary["steps"] == (32 + 24) / 8


def test_texts_follow_the_rows_and_the_order_that_a_curriculum_gives_them(
    tmp_path: Path,
    tiny_base: Path,
    teacher: Path,
    dataset: Path,
    write_order: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = [*range(31, -1, -1)]
    write_order(dataset, given, repeats=False)
    texts = [[7, 8, 9 + number] for number in range(24)]
    monkeypatch.setattr(run_setup, "write_teacher_texts", lambda *_, **__: texts)
    monkeypatch.setattr(run_setup, "TrainingLoop", LoopThatIsSeen)

    with pytest.raises(BegunError):
        trained(Port(tmp_path), tiny_base, teacher, dataset)

    plan, examples = LoopThatIsSeen.plan, LoopThatIsSeen.examples
    visited = [row for step in range(plan.steps) for row in plan.rows_of(step)]
    assert visited == [*given, *range(32, 56)]
    assert [list(each.ids) for each in examples[32:]] == texts
    assert {each.spans for each in examples[32:]} == {((1, 3),)}
    assert examples[-1] == examples[55] != examples[0]


def test_a_text_is_no_longer_than_a_row_may_be(
    tmp_path: Path, tiny_base: Path, teacher: Path, dataset: Path
) -> None:
    port = StoppingPort(tmp_path)
    with pytest.raises(Preempted):
        trained(port, tiny_base, teacher, dataset, max_tokens_per_row=64)

    state = json.loads((port.kept / "state.json").read_text())
    assert max(map(len, state["progress"]["teacher_texts"])) == 64


def test_a_resumed_run_goes_on_with_its_texts(
    tmp_path: Path,
    tiny_base: Path,
    teacher: Path,
    dataset: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = trained(Port(tmp_path / "whole"), tiny_base, teacher, dataset)
    broken = StoppingPort(tmp_path / "broken")
    with pytest.raises(Preempted):
        trained(broken, tiny_base, teacher, dataset)
    monkeypatch.setattr(run_setup, "write_teacher_texts", no_texts)

    resumed = resumed_from(broken, tmp_path / "resumed")

    assert weights_of(resumed) == weights_of(whole)


def test_a_teacher_that_is_an_adapter_teaches_what_it_answers(
    tmp_path: Path, tiny_base: Path, toy_rows: Rows
) -> None:
    student = TrainedModel.load(tiny_base, decide("lora", QUICK | {"lora_rank": 4}), "mv-base")
    stir(student)
    student.train(False)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    student.save(adapter)

    teacher = TrainedModel.load_frozen(tiny_base, adapter)

    examples = encode_rows(
        toy_rows(4), ChatTokenizer.load(tiny_base), split="train", max_tokens=512
    )
    [part] = pack(examples, max_nodes=10_000)
    with torch.no_grad():
        its, own = [one.logits(part.tree, part.predicting) for one in (teacher, student)]
        with student.as_base():
            base = student.logits(part.tree, part.predicting)
    torch.testing.assert_close(its, own, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(its, base, atol=1e-2)
