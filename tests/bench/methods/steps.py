"""The steps of a bench, each done once: rows, datasets, training runs, evaluations."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from modelmill_cli.demo.base import BASE_NAME
from modelmill_cli.errors import WorkFailedError
from modelmill_cli.job_words import Job
from modelmill_client import ApiStatusError, Modelmill
from modelmill_service_kit.errors import PreconditionError

from tests.bench.methods.jobs import Jobs, job_of
from tests.bench.methods.ledger import Ledger, Result, digest_of
from tests.bench.methods.recipe import REJECTED, Arm, Recipe, Task
from tests.bench.methods.rows import as_lines, draw_rows

MEASURE = "accuracy"
SPLITS = ("train", "valid", "test")


class Steps:
    """What is done for a recipe, in a folder that keeps it.

    Args:
        data: Folder with the files of the tasks.
        keep: Folder of this bench, on one instance of Modelmill.
    """

    def __init__(
        self, recipe: Recipe, client: Modelmill, jobs: Jobs, *, data: Path, keep: Path
    ) -> None:
        self._recipe = recipe
        self._client = client
        self._jobs = jobs
        self._data = data
        self._keep = keep
        self._ledger = Ledger(keep / "steps")

    def base(self) -> str:
        """Version of the recipe's base.

        Raises:
            PreconditionError: there is none that can be trained.
        """
        wanted = BASE_NAME if self._recipe.wants_demo_base else self._recipe.base
        models: list[Any] = [*self._client.models.list()]
        for model in models:
            named = wanted in (model["id"], model.get("name"))
            if named and model.get("form") == "safetensors" and not model.get("job_id"):
                return str(model["id"])
        raise PreconditionError(f"there is no base model {wanted!r}. Import it first")

    def upload(self, task: Task) -> str:
        """The id of the task's rows as a file."""
        content = as_lines(draw_rows(task, self._data / task.file, self._recipe.seed))
        file = self._keep / "rows" / f"{task.name}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

        def send() -> Result:
            return {"file_id": self._client.files.upload(file)["id"]}

        choices = {"rows": digest_of(content.decode())}
        file_id = str(self._ledger.done(f"{task.name}-rows", choices, send)["file_id"])
        try:
            self._client.files.retrieve(file_id)
        except ApiStatusError as error:
            raise PreconditionError(
                f"{self._keep} is the bench of another Modelmill, for this one knows no {file_id}."
                " Name the state folder that it was begun on, or another folder to keep"
            ) from error
        return file_id

    def dataset(self, task: Task, file_id: str, *, pairs: bool) -> Result:
        """`dataset_id`, and the `summary` of the job that made it."""
        mapping = task.mapping.model_dump()
        if pairs:
            mapping["rejected_template"] = f"{{{REJECTED}}}"
        name = f"{task.name}-pairs" if pairs else task.name
        body = {
            "seed": self._recipe.seed,
            **task.dataset,
            **{"file_id": file_id, "name": name, "mapping": mapping},
        }

        def make() -> Result:
            accepted = self._jobs.ordered("/v1/datasets", body)
            job = self._jobs.ended(job_of(accepted), f"{name}: data-prep")
            dataset_id = accepted["id"]
            status = partial(self._client.datasets.retrieve, dataset_id)
            self._jobs.appeared(name, lambda: status()["status"] == "ready")
            return {"dataset_id": dataset_id, "summary": job["result"]["summary"]}

        return self._ledger.done(f"{name}-dataset", body, make)

    def train(self, task: Task, arm: Arm, seed: int, *, start: str, dataset_id: str) -> Result:
        """`version_id`, its `size_bytes`, and the `summary` of the job that trained it."""
        body = {
            "model": start,
            "training_file": dataset_id,
            "suffix": f"{task.name}-{arm.name}"[:64],
            "seed": seed,
            "training_method": arm.method,
            "objective": arm.objective,
            "hyperparameters": arm.hyper_parameters,
            "evaluate": False,  # as it is served, by an evaluation
        }
        title = f"{task.name}, {arm.name}"

        def make() -> Result:
            accepted = self._jobs.ordered("/v1/fine_tuning/jobs", body)
            job = self._jobs.ended(job_of(accepted), f"{title}: training")
            version = job["result"]["version_id"]
            self._jobs.appeared(version, lambda: version in self._sizes())
            return {
                "version_id": version,
                "size_bytes": self._sizes()[version],
                "summary": job["result"]["summary"],
            }

        return self._ledger.done(f"{task.name}-{arm.name}-{seed}-train", body, make)

    def score(self, task: Task, name: str, *, version: str, dataset: Result) -> Result:
        """How many test rows a version answers rightly, and which: `accuracy` and `correct`."""
        body = {
            "model": version,
            "dataset_id": dataset["dataset_id"],
            "split": "test",
            "measures": [MEASURE],
            "max_rows": int(dataset["summary"]["test"]),
            "seed": self._recipe.seed,
        }

        def make() -> Result:
            job_id = job_of(self._jobs.ordered("/v1/evaluations", body))
            job = self._jobs.ended(job_id, f"{task.name}, {name}: evaluation")
            return _scored(job, self._answers(job_id, f"{task.name}-{name}"))

        return self._ledger.done(f"{task.name}-{name}-score", body, make)

    def _sizes(self) -> dict[str, int]:
        models: list[Any] = [*self._client.models.list()]
        return {model["id"]: int(model.get("size_bytes") or 0) for model in models}

    def _answers(self, job_id: str, name: str) -> list[dict[str, Any]]:
        file = self._keep / "answers" / f"{name}.jsonl"
        file.parent.mkdir(exist_ok=True)
        self._client.evaluations.download_report(job_id, file, format="rows")
        with file.open(encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]


def _scored(job: Job, answers: list[dict[str, Any]]) -> Result:
    suite = job["result"]["summary"]["suites"]["dataset"]
    if MEASURE not in suite["measures"]:
        raise WorkFailedError("the rows' answers are too many to choose among: take other rows")
    references = [str(answer["reference"]) for answer in answers]
    return {
        "accuracy": suite["measures"][MEASURE]["model"],
        "correct": dict(_correct(answers)),
        "answers": len(set(references)),
        "commonest": max(map(references.count, references)) / len(references),
        "seconds": float((job.get("cost") or {}).get("work_seconds") or 0.0),
    }


def _correct(answers: list[dict[str, Any]]) -> Iterator[tuple[str, bool]]:
    for answer in answers:
        score = answer["model"]["scores"].get(MEASURE)
        if score is not None:
            yield answer["row"], score > 0
