"""What a run of a recipe would do and take; nothing is ordered."""

from dataclasses import dataclass, field
from pathlib import Path

from modelmill_client import Modelmill
from modelmill_hub.address import HubAddress
from modelmill_job_index.job_estimates import StepEstimate
from modelmill_service_kit.errors import InvalidInputError, NotFoundError

from modelmill_recipes.api import Record
from modelmill_recipes.estimate import (
    CountTokens,
    RecipeEstimates,
    Workload,
    mean_tokens,
)
from modelmill_recipes.local_rows import UnreadHereError
from modelmill_recipes.orders import (
    Order,
    build_orders,
    dataset_order,
    evaluation_order,
    files_words,
    pruning_order,
    serving_version,
    stored_files,
    stored_suite_files,
    training_order,
    version_of,
)
from modelmill_recipes.past_jobs import PastJobs
from modelmill_recipes.recipe import Recipe
from modelmill_recipes.survey_rows import RowSurvey, SplitRows, split_rows, survey_rows
from modelmill_recipes.tenant_settings import has_policy, limit_words, policy_of


@dataclass(frozen=True)
class PlannedStep:
    """A step, and whether a run finds it done."""

    step: str
    is_kept: bool
    words: str
    estimate: StepEstimate | None = None
    """Of jobs that are to be done."""


@dataclass
class RecipePlan:
    """Steps in order. What depends on a step that is to be done is to be done, too: its inputs are
    not there yet."""

    steps: list[PlannedStep] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What is not known, and why."""

    @property
    def seconds(self) -> float | None:
        """Of all jobs that are to be done; None where that of one is not known."""
        taken = [each.estimate.seconds for each in self.steps if each.estimate]
        known = [seconds for seconds in taken if seconds is not None]
        return sum(known) if len(known) == len(taken) else None


def plan_recipe(recipe: Recipe, client: Modelmill, count_tokens: CountTokens) -> RecipePlan:
    """The plan.

    Args:
        count_tokens: Counts with the tokenizer of the recipe's base.

    Raises:
        InvalidInputError: The mapping names a column that the files do not have.
    """
    return _Planning(recipe, client, count_tokens)()


class _Planning:
    def __init__(self, recipe: Recipe, client: Modelmill, count_tokens: CountTokens) -> None:
        self._recipe = recipe
        self._client = client
        self._count_tokens = count_tokens
        self._plan = RecipePlan()

    def __call__(self) -> RecipePlan:
        recipe, client = self._recipe, self._client
        stored = stored_files(client, recipe.files)
        is_stored = all(stored.values()) and not recipe.hub_files
        words = [files_words([*stored]), *map(str, recipe.hub_files)]
        self._add("files", is_stored, ", ".join(filter(None, words)))
        job = _done(client, dataset_order(recipe, [*stored.values()]) if is_stored else None)
        dataset_id = _dataset_of(client, job)
        base = base_of(recipe, client)
        survey = self._survey()
        estimates = self._estimates(base, survey, job)
        size_bytes = sum(file.stat().st_size for file in recipe.files)
        self._add_job(
            "dataset", job, estimates.dataset(survey.rows_in, size_bytes) if estimates else None
        )
        base_id = str(base.get("id") or "")
        job = self._add_training(base_id if dataset_id else "", dataset_id, estimates)
        self._add_serving(job, dataset_id, estimates)
        return self._plan

    def _add_training(
        self, base_id: str, dataset_id: str, estimates: RecipeEstimates | None
    ) -> Record | None:
        """The pruning and the training; the job of the latter, if it is done.

        Args:
            base_id: Empty where an input is not there yet.
        """
        recipe, client, whole = self._recipe, self._client, ""
        if pruning := pruning_order(recipe, base_id, dataset_id):
            job = _done(client, pruning if base_id else None)
            self._add_job("pruning", job, estimates.build("pruned") if estimates else None)
            base_id, whole = str(job["result"]["version_id"]) if job else "", base_id
        order = training_order(recipe, base_id, dataset_id, whole) if base_id else None
        job = _done(client, order)
        self._add_job("training", job, estimates.training() if estimates else None)
        return job

    def _add_serving(
        self, job: Record | None, dataset_id: str, estimates: RecipeEstimates | None
    ) -> None:
        """The builds, the evaluation and the alias."""
        recipe, client = self._recipe, self._client
        version_id = job["result"]["version_id"] if job else ""
        served = serving_version(client, version_id) if version_id else ""
        self._add("build", bool(served), served or "", estimates.build() if estimates else None)
        for order in build_orders(recipe, version_id, dataset_id):
            form = str(order.body.get("target_form") or "")
            self._add_job(
                order.step,
                _done(client, order if served else None),
                estimates.build(form) if estimates else None,
            )
        files = stored_suite_files(client, recipe.suite)
        if evaluation := evaluation_order(recipe, served or "", dataset_id, files):
            job = _done(client, evaluation if served and all(files.values()) else None)
            self._add_job(evaluation.step, job, estimates.evaluation() if estimates else None)
        if recipe.judge is not None:
            self._add("judge", False, recipe.judge.file.name)
        self._add_settings()
        aliases = {each["name"]: each["version_id"] for each in client.aliases.list()}
        at = aliases.get(recipe.alias, "")
        self._add(f"alias {recipe.alias}", bool(served) and at == served, at)

    def _add_settings(self) -> None:
        recipe, client = self._recipe, self._client
        if recipe.policy is not None:
            is_kept = has_policy(client.policies.retrieve(), policy_of(recipe))
            self._add("policy", is_kept, files_words(recipe.policy_files))
        if recipe.limits is not None:
            wanted = limit_words(recipe.limits)
            is_kept = limit_words(client.budget.retrieve()["limits"]) == wanted
            self._add("limits", is_kept, wanted)

    def _survey(self) -> RowSurvey:
        if self._recipe.hub_files:
            named = ", ".join(map(str, self._recipe.hub_files))
            self._plan.notes.append(f"rows and tokens are not known before a run fetches {named}")
            return RowSurvey(0, 0, ())
        try:
            return survey_rows(self._recipe)
        except UnreadHereError as error:
            self._plan.notes.append(f"rows and tokens are not known: {error.message}")
            return RowSurvey(0, 0, ())

    def _estimates(
        self, base: Record, survey: RowSurvey, dataset_job: Record | None
    ) -> RecipeEstimates | None:
        """None where the rows or the base are not known."""
        if isinstance(self._recipe.base, HubAddress) and not base:
            self._plan.notes.append(f"times are not known before a run fetches {self._recipe.base}")
            return None
        if dataset_job is not None:
            counts = dataset_job["result"]["summary"]
            rows = SplitRows(int(counts.get("train", 0)), int(counts.get("test", 0)))
        elif not survey.rows_kept:
            return None
        else:
            rows = split_rows(self._recipe, survey.rows_kept)
        return RecipeEstimates(
            self._recipe,
            Workload(
                rows=rows,
                row_tokens=self._row_tokens(survey),
                base_bytes=_weight_bytes(self._recipe, base),
                base_version_id=str(base.get("id") or ""),
                labels=survey.labels,
            ),
            PastJobs(self._client),
        )

    def _row_tokens(self, survey: RowSurvey) -> float | None:
        if self._recipe.training.get("teacher_answers"):
            self._plan.notes.append("tokens are those of the files; the teacher's answers differ")
        try:
            return mean_tokens(self._count_tokens, survey.sample)
        except (InvalidInputError, NotFoundError) as error:
            self._plan.notes.append(f"tokens and times are not known: {error.message}")
            return None

    def _add(
        self, step: str, is_kept: bool, words: str, estimate: StepEstimate | None = None
    ) -> None:
        shown = None if is_kept else estimate
        self._plan.steps.append(PlannedStep(step, is_kept, words, shown))

    def _add_job(self, step: str, job: Record | None, estimate: StepEstimate | None) -> None:
        self._add(step, job is not None, job["id"] if job else "", estimate)


def _weight_bytes(recipe: Recipe, base: Record) -> int:
    if base:
        return int(base.get("size_bytes") or 0)
    assert isinstance(recipe.base, Path)
    return sum(each.stat().st_size for each in recipe.base.glob("*.safetensors"))


def base_of(recipe: Recipe, client: Modelmill) -> Record:
    """The version to begin from; of a folder or a hub the newest that was imported under its name,
    and nothing before it was."""
    if isinstance(recipe.base, str):
        return client.models.retrieve(version_of(client, recipe.base))
    for model in client.models.list():
        if model.get("name") == recipe.base.name and not model.get("parent_version_id"):
            return model
    return {}


def _done(client: Modelmill, order: Order | None) -> Record | None:
    """The job that has done it; None where there is none, or its inputs are not there yet."""
    if order is None:
        return None
    for key in order.idempotency_keys():
        job = next(client.jobs.list(idempotency_key=key), None)
        if job is None:
            return None
        if job["status"] != "cancelled":
            return job if job["status"] == "succeeded" else None
    return None


def _dataset_of(client: Modelmill, job: Record | None) -> str:
    if job is None:
        return ""
    datasets = client.datasets.list()
    return next((str(each["id"]) for each in datasets if each["job_id"] == job["id"]), "")
