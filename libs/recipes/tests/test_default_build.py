"""The build that follows a training by itself: waited for, and no reason to end when it fails."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from modelmill_client import JobFailedError, Modelmill
from modelmill_recipes.recipe import Recipe
from modelmill_recipes.run_recipe import RecipeRun
from modelmill_recipes.run_record import RunRecord
from modelmill_service_kit.errors import UnavailableError

SUMMARY = {"status": "succeeded", "result": {"version_id": "mv-lora", "summary": {"learned": True}}}
FAILED: Any = {"id": "job-build", "kind": "optimize", "error": {"message": "it lost too much"}}


class Gateway:
    """Has everything done but the build; `serves` is what serves the model."""

    def __init__(self, file: Path, builds: list[str]) -> None:
        self.serves: str | None = None
        digest = sha256(file.read_bytes()).hexdigest()
        self._file = {"id": "file-1", "filename": file.name, "sha256": digest}
        self._builds = [{"id": each, "spec": {"source_version_id": "mv-lora"}} for each in builds]

    def client(self) -> Modelmill:
        return Modelmill("http://gateway", "token", transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        lists: dict[str, Any] = {"/v1/files": [self._file], "/v1/aliases": []}
        if request.method == "PUT":
            body = json.loads(request.read())
        elif request.method == "POST":
            body = {"id": "made-1"}
        elif path.startswith("/v1/jobs/"):
            body = SUMMARY
        elif path.startswith("/v1/models/"):
            body = {"id": path.rpartition("/")[2], "serving_version_id": self.serves}
        else:
            body = {"data": lists.get(path, self._builds)}
        return httpx.Response(200, json=body)


class Steps:
    """What a run says of its steps."""

    def __init__(self) -> None:
        self.said: dict[str, str] = {}

    def kept(self, step: str, words: str) -> None:
        self.said[step] = f"kept {words}"

    def done(self, step: str, words: str) -> None:
        self.said[step] = f"done {words}"

    def left(self, step: str, words: str) -> None:
        self.said[step] = f"left {words}"


def test_where_the_build_fails_the_model_is_served_as_it_was_trained(
    recipe_file: Path, tmp_path: Path
) -> None:
    recipe, steps = _without_evaluation(recipe_file), Steps()
    gateway = Gateway(recipe.files[0], ["job-build"])

    def follow(job_id: str, title: str) -> Any:
        gateway.serves = "mv-lora"  # as the gateway decides once the build has ended
        raise JobFailedError(FAILED)

    record = RunRecord.of(tmp_path, "r")
    made = RecipeRun(recipe, gateway.client(), follow, str, record, steps, open_judge=_none)()
    assert steps.said["build"] == "left optimize job job-build: it lost too much. mv-lora is served"
    assert made.aliases == {"wordnet": "mv-lora"}


def test_where_no_build_is_ordered_the_run_ends_with_the_remedy(
    recipe_file: Path, tmp_path: Path
) -> None:
    recipe, steps = _without_evaluation(recipe_file), Steps()
    gateway = Gateway(recipe.files[0], [])
    record = RunRecord.of(tmp_path, "r")
    run = RecipeRun(
        *(recipe, gateway.client(), _never, str, record, steps),
        open_judge=_none,
        build_wait_seconds=0.0,
    )
    with pytest.raises(UnavailableError, match="whether optimizer-builder runs"):
        run()


def _without_evaluation(file: Path) -> Recipe:
    text = file.read_text(encoding="utf-8")
    file.write_text(text[: text.index("evaluation:")] + "alias: wordnet\n", encoding="utf-8")
    return Recipe.load(file)


def _never(job_id: str, title: str) -> Any:
    raise AssertionError(job_id)


def _none(file: Path) -> Any:
    raise AssertionError(file)
