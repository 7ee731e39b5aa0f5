"""What a plan says of rows and tokens is what data-prep and the trainer find, and the rest is said
to be unknown."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_client import Modelmill
from modelmill_data_prep.domain.blocks import SourceRow
from modelmill_data_prep.domain.dataset_plan import plan_dataset
from modelmill_data_prep.domain.mapping.map_block import map_block
from modelmill_job_index.job_estimates import StepEstimate
from modelmill_recipes.estimate import RecipeEstimates, Workload
from modelmill_recipes.local_rows import LocalRows, UnreadHereError
from modelmill_recipes.past_jobs import PastJobs
from modelmill_recipes.recipe import Recipe
from modelmill_recipes.row_conversation import row_conversation
from modelmill_recipes.survey_rows import SplitRows, check_columns, split_rows, survey_rows
from modelmill_recipes.training_size import training_size
from modelmill_service_kit.errors import InvalidInputError
from modelmill_trainer.domain.auto_choices import (
    TRIAL_FACTORS,
    RunSize,
    decide_auto_choices,
    trial_steps,
)
from modelmill_trainer.domain.hyper_parameters import decide
from modelmill_trainer.domain.resource_estimate import needed_memory
from modelmill_trainer.domain.training_plan import plan_training

ROWS = [{"q": f"question {n}", "a": "yes", "n": n} for n in range(10)]


@given(
    rows=st.integers(1, 5_000),
    length=st.integers(1, 4_000),
    given=st.fixed_dictionaries(
        {},
        optional={
            "epochs": st.floats(0.5, 9),
            "batch_size": st.integers(1, 64),
            "max_steps": st.integers(1, 500),
            "preset": st.just("guide"),
            "gradient_accumulation_steps": st.just(1),
        },
    ),
)
def test_a_training_reads_as_many_rows_as_the_trainer_decides(
    rows: int, length: int, given: dict[str, Any]
) -> None:
    choices = decide("lora", given)
    decision = decide_auto_choices(choices, RunSize(rows=rows, tokens=rows * length, width=64))
    plan = plan_training(rows, decision.apply(choices))
    size = training_size(given | {"learning_rate": "search"}, rows, length)
    assert size.row_visits == plan.row_visits
    trials = len(TRIAL_FACTORS) * trial_steps(plan.steps)
    assert size.trial_visits == trials * plan.batch_size


MAPPINGS = [
    ({"user_template": "{{{q}}} {n}", "answer_template": "{a}", "system_template": "s"}, ROWS[0]),
    ({"layout": "alpaca"}, {"instruction": "i", "input": "more", "output": "o"}),
    ({"layout": "text"}, {"text": "long"}),
    ({"layout": "preference"}, {"prompt": "p", "chosen": "c", "rejected": "r"}),
    (
        {"layout": "sharegpt"},
        {"conversations": [{"from": "human", "value": "h"}, {"from": "gpt", "value": "g"}]},
    ),
    (
        {"messages_column": "m"},
        {"m": [{"role": "user", "content": "h"}, {"role": "assistant", "content": "g"}]},
    ),
    (
        {"user_template": "{q}", "answer_template": "{a}", "rejected_template": "{n}"},
        {"q": "1", "a": "2", "n": 3},
    ),
]


@pytest.mark.parametrize(("mapping", "row"), MAPPINGS)
def test_a_row_is_the_conversation_that_data_prep_makes_of_it(
    mapping: dict[str, str], row: dict[str, Any]
) -> None:
    plan = plan_dataset({"mapping": mapping})
    (made,) = map_block(
        [SourceRow(1, row, json.dumps(row).encode())], plan.mapping
    ).rows.to_pylist()
    said = row_conversation(row, mapping)
    assert said is not None
    assert [each["role"] for each in said.messages] == made["roles"]
    assert [each["content"] for each in said.messages] == made["contents"]
    assert said.rejected == made["rejected"]


def recipe_of(folder: Path, files: str, data: str = "") -> Recipe:
    file = folder / "recipe.yaml"
    mapping = '  mapping: {user_template: "{q}", answer_template: "{a}"}\n'
    file.write_text(f"name: x\nbase: b\ndata:\n  files: {files}\n{mapping}{data}")
    return Recipe.load(file)


REPEATS = [ROWS[0], {"q": "QUESTION  \uff11", "a": "yes"}]
WRONG = [{"q": "", "a": "x"}, {"q": ["no text"], "a": "x"}, {"q": "x"}]


def lines_of(rows: Sequence[object]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_rows_of_all_files_count_once_and_those_without_a_value_do_not(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines_of([*ROWS, *REPEATS, *WRONG]) + b"{\n")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b'q;a\n"eleven;";yes\n'))
    recipe = recipe_of(tmp_path, "[a.jsonl, b.csv.gz]")
    found = survey_rows(recipe)
    assert (found.rows_in, found.rows_kept, len(found.sample)) == (16, 11, 11)
    assert (split_rows(recipe, 100).train, split_rows(recipe, 100).test) == (80, 10)
    limited = recipe_of(tmp_path, "a.jsonl", "  max_test_rows: 3\n")
    assert (split_rows(limited, 100).train, split_rows(limited, 100).test) == (87, 3)


def test_a_column_that_no_row_has_is_refused_with_line_and_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines_of([{"qs": "x", "a": "y"}]))
    for look in (survey_rows, check_columns):
        with pytest.raises(InvalidInputError) as raised:
            look(recipe_of(tmp_path, "a.jsonl"))
        (error,) = raised.value.errors
        assert error.startswith(f"{tmp_path / 'recipe.yaml'}:5: unknown column 'q'.")
        assert "a.jsonl has 'qs', 'a'" in error


def test_what_data_prep_alone_reads_is_said(tmp_path: Path) -> None:
    file = tmp_path / "a.xlsx"
    file.write_bytes(b"PK")
    check_columns(recipe_of(tmp_path, "a.xlsx"))
    with pytest.raises(UnreadHereError, match="read by data-prep alone"):
        list(LocalRows(file))


def past_of(base: str, *, test_rows: int) -> PastJobs:
    """Of a gateway with one training of a base."""
    spec = {"base_version_id": base, "method": "TRAINING_METHOD_LORA", "dataset_id": "ds-1"}
    summary = {"tokens_per_second": 100.0, "train_seconds": 40.0, "peak_memory_bytes": 7e8}
    job = {
        "status": "succeeded",
        "spec": spec | {"objective": "TRAINING_OBJECTIVE_ANSWERS"},
        "result": {"summary": summary},
        "cost": {"work_seconds": 60.0},
    }

    def answer(request: httpx.Request) -> httpx.Response:
        dataset = {"id": "ds-1", "counts": {"test": test_rows}}
        is_train = request.url.params.get("kind") == "train"
        listed = [dataset] if request.url.path == "/v1/datasets" else [job] * is_train
        return httpx.Response(200, json={"data": listed})

    return PastJobs(Modelmill("http://gateway", "token", transport=httpx.MockTransport(answer)))


@pytest.mark.parametrize(
    ("base", "test_rows", "seconds", "basis"),
    [
        # 4,000 tokens at 100 a second, and 20 s around them, of which half grow with test rows.
        ("mv-b", 10, 60.0, "1 earlier"),
        ("mv-b", 5, 70.0, "1 earlier"),
        # 24 s and 20 answers of 50 tokens at 3 * 2 * 500,000 operations, then the steps at 4.
        ("mv-other", 10, 24 + (20 * 50 * 6 + 4000 * 4) * 500_000 / 300e9, "rule"),
    ],
)
def test_time_is_that_of_trainings_of_the_same_base_or_by_the_rule(
    tmp_path: Path, base: str, test_rows: int, seconds: float, basis: str
) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines_of(ROWS))
    training = "training: {hyperparameters: {epochs: 1}}\n"
    work = Workload(SplitRows(80, 10), 50.0, 1_000_000, "mv-b")
    recipe = recipe_of(tmp_path, "a.jsonl", training)
    past = past_of(base, test_rows=test_rows)
    found = RecipeEstimates(recipe, work, past, cores=2).training()
    assert (found.tokens, found.basis) == (4000, basis)
    assert found.seconds == pytest.approx(seconds)
    memory = 7e8 if base == "mv-b" else 1.5 * 2**30 + 2e6
    assert found.memory_bytes == pytest.approx(memory)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_memory_without_earlier_trainings_is_what_the_trainer_admits_a_run_by(
    tmp_path: Path, method: str
) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines_of(ROWS))
    work = Workload(SplitRows(80, 10), 50.0, 1_000_000, "mv-b")
    recipe = recipe_of(tmp_path, "a.jsonl", f"training: {{training_method: {method}}}\n")
    past = past_of("mv-other", test_rows=10)
    found = RecipeEstimates(recipe, work, past, cores=2).training()
    assert found.memory_bytes == needed_memory(method, work.base_bytes)


def test_a_pruned_base_is_taught_by_the_whole_one(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines_of(ROWS))
    work = Workload(SplitRows(80, 10), 50.0, 1_000_000, "mv-b")
    past = past_of("mv-other", test_rows=10)

    def found(sections: str) -> StepEstimate:
        recipe = recipe_of(tmp_path, "a.jsonl", sections)
        return RecipeEstimates(recipe, work, past, cores=2).training()

    once = "hyperparameters: {epochs: 1}"
    alone = found(f"training: {{training_method: full, {once}}}\n")
    taught = found(f"pruning: {{mlp: 0.5}}\ntraining: {{{once}}}\n")

    # 80 rows that the teacher reads, and 10 that it answers.
    seconds = (80 * 2 + 10 * 6) * 50 * 500_000 / 300e9
    assert taught.seconds == pytest.approx((alone.seconds or 0.0) + seconds)
    assert taught.memory_bytes == (alone.memory_bytes or 0) + 2 * work.base_bytes


ALL_MEASURES = "evaluation: {}\n"
ACCURACY = "evaluation: {measures: [accuracy]}\n"
COMPARED = "evaluation: {measures: [accuracy], compare_to: base}\n"
# 50 tokens of a row, and 2 labels of "negative" (8 bytes), each with the prompt's last token.
SCORED = 1 + 2 * (1 + 2) / 50


@pytest.mark.parametrize(
    ("evaluation", "labels", "times"),
    [
        (ALL_MEASURES, (), 1.0),
        (ALL_MEASURES, ("negative", "ok"), 1 + SCORED),
        (ACCURACY, ("negative", "ok"), SCORED),
        (COMPARED, ("negative", "ok"), 2 * SCORED),
        (COMPARED.replace("{", "{max_rows: 2, "), ("negative", "ok"), 2 * SCORED * 2 / 10),
    ],
)
def test_an_evaluation_takes_its_models_their_answers_and_the_labels_they_score(
    tmp_path: Path, evaluation: str, labels: tuple[str, ...], times: float
) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines_of(ROWS))
    recipe = recipe_of(tmp_path, "a.jsonl", evaluation)
    work = Workload(SplitRows(80, 10), 50.0, 1_000_000, "mv-b", labels)
    found = RecipeEstimates(recipe, work, past_of("mv-b", test_rows=10), cores=2).evaluation()
    assert found.seconds == pytest.approx(4 + times * 10 * 50 * 6 * 500_000 / 300e9, rel=1e-6)


@pytest.mark.parametrize(
    ("answers", "labels"),
    [
        (["no", "yes"] * 30, ["no", "yes"]),
        ([f"answer {number}" for number in range(65)], []),
    ],
)
def test_a_few_distinct_answers_are_labels(
    tmp_path: Path, answers: list[str], labels: list[str]
) -> None:
    rows = [{"q": f"question {number}", "a": each} for number, each in enumerate(answers)]
    (tmp_path / "a.jsonl").write_bytes(lines_of(rows))
    assert survey_rows(recipe_of(tmp_path, "a.jsonl")).labels == labels
