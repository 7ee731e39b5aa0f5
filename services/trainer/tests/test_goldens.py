"""An artifact that is not the model that was trained is refused under the name of its fault."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from modelmill_evaluation.parity.goldens import Goldens
from modelmill_evaluation.parity.taking import NEW_TOKENS
from modelmill_jobs.child import ChildFailure
from modelmill_testkit.hostile_models import wake_in_transformers
from modelmill_tokenization.bounded import LimitError
from modelmill_tokenization.bounded.call import CallLimits
from modelmill_tokenization.bounded.here import try_tokenizer
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_tokenization.prompt_facts import prompt_facts
from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.domain.hyper_parameters import decide
from modelmill_trainer.training.goldens import (
    check_artifact,
    require_special_tokens,
    take_model_goldens,
)
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.packs import TrainingExample
from modelmill_trainer.training.rows import encode_rows

pytestmark = pytest.mark.heavy

Rows = Callable[..., list[dict[str, Any]]]


@dataclass(frozen=True)
class Trained:
    """A model with an adapter that says something, its artifact and its goldens."""

    base: Path
    artifact: Path
    goldens: Goldens
    request: TrainRequest
    splits: dict[str, list[TrainingExample]]


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, toy_rows: Rows, write_splits: Any
) -> Trained:
    root = tmp_path_factory.mktemp("trained")
    torch.set_num_threads(1)
    rows = {"train": toy_rows(8), "test": toy_rows(5, first=8)}
    dataset = write_splits(root / "rows", rows)
    tokenizer = ChatTokenizer.load(tiny_base)
    request = TrainRequest(
        base_folder=tiny_base,
        base_version_id="mv-base",
        context_tokens=512,
        dataset_folder=dataset,
        checkpoint_folder=None,
        choices=(),
        hyper_parameters=decide("lora", {"lora_rank": 4}),
        threads=1,
    )
    splits: dict[str, list[TrainingExample]] = {
        name: encode_rows(rows.get(name, []), tokenizer, split=name, max_tokens=512)
        for name in ("train", "valid", "test")
    }
    model = TrainedModel.load(tiny_base, request.hyper_parameters, "mv-base")
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.trainable.values():
            weight.normal_(std=0.1, generator=generator)
    goldens = take_model_goldens(model, tokenizer, splits, request).goldens
    artifact = root / "artifact"
    artifact.mkdir()
    model.save(artifact)
    return Trained(tiny_base, artifact, goldens, request, splits)


def refusal(artifact: Path, trained: Trained, goldens: Goldens | None = None) -> ChildFailure:
    with pytest.raises(ChildFailure) as caught:
        check_artifact(artifact, trained.base, goldens or trained.goldens)
    assert caught.value.remedy
    return caught.value


@pytest.fixture
def spoilt(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the artifact, to be changed."""
    return shutil.copytree(trained.artifact, tmp_path / "spoilt")


def drop_token(folder: Path, text: str) -> None:
    file = folder / "tokenizer.json"
    document = json.loads(file.read_text())
    kept = [token for token in document["added_tokens"] if token["content"] != text]
    file.write_text(json.dumps(document | {"added_tokens": kept}))


def test_a_correct_artifact_is_within_rounding_of_training(trained: Trained) -> None:
    likeness = check_artifact(trained.artifact, trained.base, trained.goldens)

    assert likeness is not None
    assert likeness.largest_share < 0.0001
    assert likeness.greedy_agreement == 1.0


def test_goldens_are_rows_of_the_test_split_as_training_reads_them(trained: Trained) -> None:
    rows = [golden for golden in trained.goldens.prompts if golden.name.startswith("test row")]

    read = [example.ids[: example.answer_start] for example in trained.splits["test"]]
    assert len(rows) == 3
    assert all(golden.prompt_ids in read for golden in rows)


def test_another_template_is_a_template_mismatch(trained: Trained, spoilt: Path) -> None:
    file = spoilt / "chat_template.jinja"
    file.write_text(file.read_text().replace("assistant\n", "assistant:\n"))

    assert refusal(spoilt, trained).code == "TEMPLATE_MISMATCH"


def test_a_special_token_in_pieces_is_missing(trained: Trained, spoilt: Path) -> None:
    drop_token(spoilt, "<|im_end|>")

    failure = refusal(spoilt, trained)

    assert failure.code == "SPECIAL_TOKEN_MISSING"
    assert "'<|im_end|>'" in failure.message


def test_other_weights_give_other_logits(trained: Trained, spoilt: Path) -> None:
    """The scale of an adapter stands in its configuration alone."""
    file = spoilt / "adapter_config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"lora_alpha": 2 * config["lora_alpha"]}))

    assert refusal(spoilt, trained).code == "LOGITS_DIFFER"


def test_token_files_with_other_ids_are_a_tokenizer_mismatch(
    trained: Trained,
) -> None:
    """As from token files that do not hold what their digest says."""
    first, *others = trained.splits["test"]
    wrong = [replace(one, ids=(one.ids[0], one.ids[0], *one.ids[2:])) for one in (first, *others)]
    model = TrainedModel.load(trained.base, trained.request.hyper_parameters, "mv-base")
    tokenizer = ChatTokenizer.load(trained.base)

    goldens = take_model_goldens(
        model, tokenizer, trained.splits | {"test": wrong}, trained.request
    ).goldens

    assert refusal(trained.artifact, trained, goldens).code == "TOKENIZER_MISMATCH"


def test_a_base_that_splits_its_templates_special_tokens_is_refused_before_training(
    trained: Trained, tmp_path: Path
) -> None:
    base = shutil.copytree(trained.base, tmp_path / "base")
    require_special_tokens(base, ChatTokenizer.load(base))
    drop_token(base, "<|im_start|>")

    with pytest.raises(ChildFailure) as caught:
        require_special_tokens(base, ChatTokenizer.load(base))

    assert caught.value.code == "SPECIAL_TOKEN_MISSING"
    assert "'<|im_start|>'" in caught.value.message


def test_a_template_that_loops_only_in_transformers_is_stopped(
    trained: Trained, spoilt: Path
) -> None:
    wake_in_transformers(spoilt)
    try_tokenizer(spoilt)  # an import takes it
    template = prompt_facts(spoilt, ChatTokenizer.load(spoilt)).template

    with pytest.raises(LimitError, match="5 s of CPU time"):
        check_artifact(
            spoilt,
            trained.base,
            replace(trained.goldens, template=template),
            CallLimits(cpu_seconds=5),
        )


def test_a_tokenizer_that_transformers_cannot_load_is_refused(
    trained: Trained, spoilt: Path
) -> None:
    file = spoilt / "tokenizer_config.json"
    document = json.loads(file.read_text())
    file.write_text(json.dumps(document | {"extra_special_tokens": {"wake_token": 1}}))

    refused = refusal(spoilt, trained)

    assert refused.code == "INVALID_INPUT"
    assert "import it again" in refused.remedy


def test_each_pass_that_goldens_take_is_told(trained: Trained) -> None:
    model = TrainedModel.load(trained.base, trained.request.hyper_parameters, "mv-base")
    passes: list[None] = []

    take_model_goldens(
        model,
        ChatTokenizer.load(trained.base),
        trained.splits,
        trained.request,
        lambda: passes.append(None),
    )

    # A pass for each new token, at least, and two for the logits.
    assert len(passes) >= NEW_TOKENS + 2


WINDOW = 200


def with_window(base: Path, folder: Path, window: int | None) -> Path:
    """The tiny Llama as a Mistral, whose weights have the same names."""
    shutil.copytree(base, folder)
    file = folder / "config.json"
    config = json.loads(file.read_text()) | {"sliding_window": window, "model_type": "mistral"}
    file.write_text(json.dumps(config | {"architectures": ["MistralForCausalLM"]}))
    return folder


def test_a_window_that_is_left_out_gives_other_logits(trained: Trained, tmp_path: Path) -> None:
    narrow = with_window(trained.base, tmp_path / "narrow", WINDOW)
    request = replace(trained.request, base_folder=narrow)
    model = TrainedModel.load(narrow, request.hyper_parameters, "mv-base")
    tokenizer = ChatTokenizer.load(narrow)
    goldens = take_model_goldens(model, tokenizer, trained.splits, request).goldens
    artifact = tmp_path / "artifact"
    artifact.mkdir()
    model.save(artifact)
    assert max(len(golden.prompt_ids) for golden in goldens.prompts) > WINDOW

    assert check_artifact(artifact, narrow, goldens) is not None

    wide = with_window(trained.base, tmp_path / "wide", None)
    with pytest.raises(ChildFailure) as caught:
        check_artifact(artifact, wide, goldens)
    assert caught.value.code == "LOGITS_DIFFER"
