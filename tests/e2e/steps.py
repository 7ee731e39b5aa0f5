"""Steps of the loop that are too long to stand among the others."""

import asyncio
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from modelmill_cli.job_watch import watch_job
from modelmill_testkit.models import make_tiny_llama
from modelmill_testkit.waiting import eventually
from openai import NotFoundError
from openai.types.chat import ChatCompletion
from rich.console import Console

from tests.bad_input.mill import mill
from tests.bench.methods.contract import nothing_is_done_twice
from tests.bench.methods.jobs import Jobs
from tests.bench.methods.matrix import TaskResult, measure
from tests.bench.methods.recipe import Recipe
from tests.bench.methods.steps import Steps
from tests.e2e.conftest import HYPER_PARAMETERS, MAPPING, Loop, write_rows

SHARES = {"train": 0.625, "valid": 0.125, "test": 0.25}
DPO = {"learning_rate": 0.03, "epochs": 3, "batch_size": 8, "gradient_accumulation_steps": 1}
TASK = """
task: kinds
output_type: multiple_choice
dataset_path: json
dataset_kwargs: {data_files: {test: glosses.jsonl}}
doc_to_text: "{{ word }}: {{ gloss }}"
doc_to_choice: ["animal", "plant"]
doc_to_target: label
"""


def traced() -> tuple[str, str, dict[str, str]]:
    """Ids of a fresh trace and span, and the header that says them."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    return trace_id, span_id, {"traceparent": f"00-{trace_id}-{span_id}-01"}


async def answers_alike_whole_and_streamed(
    loop: Loop, version_id: str, headers: dict[str, str]
) -> None:
    messages = [{"role": "user", "content": "thing 7: something that barks"}]
    whole = await loop.openai.chat.completions.create(
        model="kinds", messages=messages, max_tokens=12, temperature=0, extra_headers=headers
    )
    assert whole.usage.completion_tokens > 0
    assert whole.system_fingerprint == version_id
    stream = await loop.openai.chat.completions.create(
        model="kinds", messages=messages, max_tokens=12, temperature=0, stream=True
    )
    pieces = [c.choices[0].delta.content or "" async for c in stream if c.choices]
    assert "".join(pieces) == whole.choices[0].message.content


async def answered_by_a_cascade(loop: Loop) -> None:
    """By the small model, and by the large one where the small one is not to be believed."""
    kinds = await asyncio.to_thread(loop.client.models.retrieve, "kinds")
    small, large = kinds["version_id"], loop.base_version_id

    for threshold, answering, escalated in ((0.0, small, False), (1.5, large, True)):
        await loop.pair_up("pair", small, large, threshold)

        async def answered(answering=answering) -> ChatCompletion | None:
            """The alias is followed a moment after it moved, where both versions are warm."""
            try:
                answer = await loop.openai.chat.completions.create(
                    model="pair",
                    messages=[{"role": "user", "content": "thing 9: something that barks"}],
                    max_tokens=8,
                )
            except NotFoundError:
                return None
            return answer if answer.system_fingerprint == answering else None

        answer = await eventually(answered)
        path = answer.choices[0].model_extra["cascade"]
        assert (path["version_id"], path["escalated"]) == (answering, escalated)
        assert (path["spared_tokens"] > 0, path["extra_tokens"] > 0) == (not escalated, escalated)


async def judged_by_what_is_served(loop: Loop) -> None:
    """A policy's judge is the model behind a name: what it finds likely becomes a verdict."""
    judge = {
        **{"id": "kind", "classifier": "kinds", "labels": {"animal": "harassment", "plant": None}},
        **{"severity": "low", "action": "flag", "directions": "both", "threshold": 0.001},
    }
    documents = [{"name": "judge.yaml", "text": json.dumps({"judges": [judge]})}]
    put = await asyncio.to_thread(loop.client.policies.set, documents=documents)

    async def judged() -> dict[str, Any] | None:
        turns = [{"role": "user", "content": "thing 9: something that barks"}]
        requested = {"moderation": {"policy": {"output": {"mode": "score"}}}}
        answer = await loop.openai.chat.completions.create(
            model="kinds", messages=turns, max_tokens=8, extra_body=requested
        )
        found = answer.model_dump()["moderation"]
        # The new policy may come into force between the two verdicts of a request.
        return found if {found[side]["model"] for side in found} == {put["digest"]} else None

    found = await eventually(judged)
    for side in ("input", "output"):
        (result,) = found[side]["results"]
        # Default rules are in force beside it, and a tiny model says anything.
        assert "kind" in [rule["id"] for rule in result["rules"]]
        assert 0 < result["category_scores"]["harassment"] < 1
    await asyncio.to_thread(loop.client.policies.revert, shared=True)


async def measured_beside_its_base(loop: Loop, folder: Path) -> None:
    """Dataset and task, asked of the build that is served and of the base, through inference."""
    dataset_id = await loop.make_dataset(write_rows(folder / "measured.jsonl", 60))
    rows = write_rows(folder / "glosses.jsonl", 6)
    uploaded = await loop.openai.files.create(file=rows, purpose="evals")
    kinds = await asyncio.to_thread(loop.client.models.retrieve, "kinds")
    body: dict[str, Any] = {
        "model": "kinds",
        "compare_to": loop.base_version_id,
        "dataset_id": dataset_id,
        "tasks": [{"config": TASK, "data_file_ids": [uploaded.id]}],
        "slices": [{"by": "answer"}, {"by": "length"}],
        "protections": [{"measure": "perplexity", "worst": 1.0, "suite": "dataset"}],
        "max_new_tokens": 6,
        "resamples": 100,
    }
    accepted = await asyncio.to_thread(lambda: loop.client.evaluations.create(**body))
    job = await loop.job_ends(accepted["id"])
    assert job["status"] == "succeeded", job

    summary = job["result"]["summary"]
    assert summary["models"]["model"]["version_id"] == kinds["version_id"]
    assert summary["models"]["compare_to"]["version_id"] == loop.base_version_id
    measures = summary["suites"]["dataset"]["measures"]
    # It was trained on rows like these: what is served finds their answers likelier than its base.
    comparison = measures["perplexity"]["comparison"]
    assert comparison["difference"]["high"] < 0
    assert comparison["won"] == 1
    assert measures["accuracy"]["model"]["rows"] == summary["suites"]["dataset"]["rows"]
    assert {"exact_match", "bleu", "chrf", "rougeL", "f1"} <= measures.keys()
    assert summary["suites"]["kinds"]["rows"] == 6
    # No model finds every answer certain.
    assert summary["passed"] is False
    page = folder / "page.html"
    await asyncio.to_thread(loop.client.evaluations.download_report, accepted["id"], page)
    assert kinds["version_id"] in page.read_text()
    await asyncio.to_thread(_check_estimates, loop, body, job)


def _check_estimates(loop: Loop, body: dict[str, Any], job: Mapping[str, Any]) -> None:
    """Another such evaluation, or build, would take as long as the one that there was."""
    again = loop.client.evaluations.estimate(**body)
    suites = job["result"]["summary"]["suites"].values()
    assert again["earlier_job_ids"] == [job["id"]]
    assert again["rows"] == sum(suite["rows"] for suite in suites)
    assert again["seconds"] == pytest.approx(job["cost"]["work_seconds"], rel=0.01)
    build = loop.client.optimizations.estimate(model="kinds", dataset_id=body["dataset_id"])
    assert build["earlier_job_ids"]
    assert build["seconds"]
    assert build["built_bytes"]


async def taught_by_what_is_served(loop: Loop, folder: Path) -> None:
    """Of rows with wrong answers a student learns what its teacher says, and then says it too."""
    rows = write_rows(folder / "taught.jsonl", 60)
    rows.write_text(rows.read_text().replace('"animal"', '"stone"').replace('"plant"', '"stone"'))
    dataset_id = await loop.make_dataset(rows)
    kinds = await asyncio.to_thread(loop.client.models.retrieve, "kinds")
    created = await loop.openai.fine_tuning.jobs.create(
        model=loop.base_version_id,
        training_file=dataset_id,
        suffix="student",
        extra_body={
            "hyperparameters": HYPER_PARAMETERS,
            "teacher": "kinds",
            "teacher_answers": {"max_new_tokens": 12},
        },
    )
    job = await loop.job_ends(created.id)
    assert job["status"] == "succeeded", job

    told = job["result"]["summary"]["teacher_answers"]
    assert told["teacher_version_id"] == kinds["version_id"]
    assert told["rows"]["train"] >= 40
    build = await loop.build_of(job["result"]["version_id"])
    asked = [
        f"thing {number}: something that {('barks', 'grows')[number % 2]}"
        for number in range(900, 916)
    ]
    models = (loop.base_version_id, build["result"]["version_id"], "kinds")
    base, student, teacher = [[await said(loop, each, text) for text in asked] for each in models]
    before = sum(left == right for left, right in zip(base, teacher, strict=True))
    after = sum(left == right for left, right in zip(student, teacher, strict=True))
    assert before + 4 <= after, (base, student, teacher)
    assert "stone" not in "".join(student)


async def said(loop: Loop, model: str, text: str) -> str:
    """The greedy answer."""
    turns = [
        {"role": "system", "content": "Name the kind of thing."},
        {"role": "user", "content": text},
    ]
    answer = await loop.openai.chat.completions.create(
        model=model, messages=turns, max_tokens=12, temperature=0
    )
    return str(answer.choices[0].message.content)


def methods_are_measured(loop: Loop, folder: Path) -> None:
    """`tests.bench.methods`, cut off after each order: what is learned is seen as served."""
    write_rows(folder / "kinds.jsonl", 40)
    arm = {"name": "dpo", "method": "prefix", "objective": "dpo", "hyper_parameters": DPO}
    task = {
        **{"name": "kinds", "title": "Kinds", "file": "kinds.jsonl", "rows": 32},
        **{"mapping": MAPPING, "dataset": {"shares": SHARES}, "arms": [arm]},
    }
    recipe = Recipe.model_validate(
        {"name": "methods", "title": "Methods", "base": "tiny", "tasks": [task]}
    )

    def run(gateway: Any) -> list[TaskResult]:
        def watch(job_id: str, title: str) -> dict[str, Any]:
            return watch_job(gateway, job_id, title, Console(quiet=True))

        steps = Steps(recipe, gateway, Jobs(gateway, watch), data=folder, keep=folder / "keep")
        return list(measure(recipe, steps))

    jobs = {"dataset": 2, "train": 1, "evaluate": 2}
    [result] = nothing_is_done_twice(run, loop.client, jobs)

    base, tuned = result.arms
    assert result.rows == {"train": 20, "valid": 4, "test": 8}
    assert base.rows == tuned.rows == 8
    # By rows that each evaluation named by itself.
    gained = tuned.accuracy["value"] - base.accuracy["value"]
    assert tuned.over_base is not None
    assert tuned.over_base["value"] == pytest.approx(gained)
    assert tuned.cost["trained_weights"] > 0
    assert tuned.cost["unit_seconds"] > tuned.cost["train_seconds"] > 0


async def answers_who_names_no_model(loop: Loop, folder: Path) -> None:
    """Of several models the one that was imported as the default; before that it is one line."""
    model, state = make_tiny_llama(folder / "plain"), loop.state.path
    second = await asyncio.to_thread(mill, state, "models", "import", str(model))
    assert second.status == 0, second.err
    unclear = await asyncio.to_thread(mill, state, "chat", "hi")
    assert unclear.status == 2
    assert "mill models alias default MODEL" in unclear.line

    imported = await asyncio.to_thread(mill, state, "models", "import", str(model), "--default")
    assert imported.status == 0, imported.err
    assert (await asyncio.to_thread(mill, state, "chat", "hi")).status == 0
    assert "text" in await asyncio.to_thread(loop.client.generate, prompt="hi")
