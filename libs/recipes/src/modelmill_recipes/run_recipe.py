"""Run a recipe: each step is a job whose idempotency key is the digest of its inputs.

The gateway thus remembers what was done: the same order gives the same job, wherever and however
often it is placed. A second run orders nothing, a change orders what depends on it, and what was
interrupted goes on. A job that failed is resumed; one that was cancelled is ordered anew.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelmill_client import JobFailedError, Modelmill
from modelmill_service_kit.errors import PreconditionError, UnavailableError

from modelmill_recipes.api import (
    FollowJob,
    ImportBase,
    OpenJudge,
    RecipeJudging,
    Record,
    StepView,
)
from modelmill_recipes.errors import GateNotMetError
from modelmill_recipes.orders import (
    Order,
    build_orders,
    dataset_order,
    evaluation_order,
    files_words,
    pruning_order,
    serving_version,
    stored_files,
    training_order,
    upload_suite,
    version_of,
)
from modelmill_recipes.recipe import Recipe
from modelmill_recipes.refusals import in_section
from modelmill_recipes.run_record import RunRecord
from modelmill_recipes.tenant_settings import TenantSettings

DEFAULT_ALIAS = "default"
BUILD_WAIT_SECONDS, LOOK_SECONDS = 60.0, 0.5
"""For a build to be ordered, and for its end to be known; and between two looks."""


@dataclass
class ToldStep:
    """What became of a step: kept, done or left; the words of it, and its job where it has one."""

    state: str = ""
    words: str = ""
    job_id: str = ""
    seconds: float = 0.0
    """Since the step before."""


@dataclass
class RecipeResult:
    """What a run made or found made, step by step."""

    base_version_id: str = ""
    file_ids: list[str] = field(default_factory=list)
    dataset_id: str = ""
    dataset: Mapping[str, Any] = field(default_factory=dict)
    version_id: str = ""
    """Of the trained model."""
    training: Mapping[str, Any] = field(default_factory=dict)
    build: Mapping[str, Any] = field(default_factory=dict)
    """Figures of the build that follows by itself; empty where there is none."""
    served_version_id: str = ""
    """The trained model, or the build of it that serves its name."""
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    judged: Mapping[str, Any] = field(default_factory=dict)
    """What the judge says of the answers; empty without one."""
    aliases: dict[str, str] = field(default_factory=dict)
    """Where each stands now."""
    steps: dict[str, ToldStep] = field(default_factory=dict)
    """By their names, in order."""
    jobs: list[str] = field(default_factory=list)
    """Those that were not done before."""

    @property
    def protections(self) -> list[Record]:
        """Of the evaluation and of its judge, each with whether it is met."""
        return [each for of in (self.evaluation, self.judged) for each in of.get("protections", ())]


def protection_name(protection: Record) -> str:
    """Its measure, with the task that it bounds where one is named."""
    return ": ".join(filter(None, (protection.get("suite"), protection["measure"])))


def learned_words(job: Record) -> str:
    """What a training has gained by its test rows; empty where it measured none, and of others."""
    summary = (job.get("result") or {}).get("summary") or {}
    if not {"accuracy_base", "accuracy_tuned"} <= summary.keys():
        return ""
    base, tuned = (f"{summary[f'accuracy_{of}']['mean']:.1%}" for of in ("base", "tuned"))
    return f"base {base} -> tuned {tuned} of the test rows"


class _RecordedSteps(StepView):
    """Steps as they are told of, kept in the result."""

    def __init__(self, view: StepView, steps: dict[str, ToldStep]) -> None:
        self._view = view
        self._steps = steps
        self._since = time.monotonic()

    def followed(self, step: str) -> None:
        """Its job was shown until it succeeded."""
        self._record("done", step, "")

    def kept(self, step: str, words: str) -> None:
        self._record("kept", step, words)
        self._view.kept(step, words)

    def done(self, step: str, words: str) -> None:
        self._record("done", step, words)
        self._view.done(step, words)

    def left(self, step: str, words: str) -> None:
        self._record("left", step, words)
        self._view.left(step, words)

    def _record(self, state: str, step: str, words: str) -> None:
        told, now = self._steps.setdefault(step, ToldStep()), time.monotonic()
        told.state, told.words, told.seconds = state, words, now - self._since
        self._since = now


class RecipeRun:
    """One run of a recipe."""

    def __init__(
        self,
        recipe: Recipe,
        client: Modelmill,
        follow: FollowJob,
        import_base: ImportBase,
        record: RunRecord,
        view: StepView,
        *,
        open_judge: OpenJudge,
        build_wait_seconds: float = BUILD_WAIT_SECONDS,
    ) -> None:
        self._recipe = recipe
        self._client = client
        self._follow = follow
        self._import_base = import_base
        self._record = record
        self._open_judge = open_judge
        self._build_wait_seconds = build_wait_seconds
        self.made = RecipeResult()
        self._view = _RecordedSteps(view, self.made.steps)

    def __call__(self, *, move_alias: bool = False) -> RecipeResult:
        """Do what is not done.

        Args:
            move_alias: also where it stands at a version to which no run moved it; and policy and
                limits, too, where no run set them.

        Raises:
            InvalidInputError: the API refuses a section; with the line in the recipe.
            GateNotMetError: the model did not learn, or a protection was not met; the alias
                was not moved.
            PreconditionError: the judge may not decide; nothing was ordered.
            ModelmillError: a job ended badly, or the gateway is away. What was done stays done.
        """
        judge = self._judge()
        base = self.made.base_version_id = self._base()
        self._make_dataset(self._upload())
        self._train(*self._prune(base))
        self._build()
        self._check_learned()
        if job_id := self._evaluate():
            self._score(judge, job_id)
            self._check_protections()
        TenantSettings(self._recipe, self._client, self._record, self._view)(move_alias)
        for alias in self._aliases():
            self._move(alias, move_alias)
        return self.made

    def _judge(self) -> RecipeJudging | None:
        """The judge; one that may not decide is refused before hours of training."""
        given = self._recipe.judge
        if given is None:
            return None
        judge = self._open_judge(given.file)
        if given.worst is not None:
            judge.require_decision()
        return judge

    def _base(self) -> str:
        """The version to begin from: an alias is looked up, so that a move of it trains anew."""
        base = self._recipe.base
        if not isinstance(base, str):
            version_id = self._import_base(base)
            self._view.done("base", f"{base.name} {version_id}")
            return version_id
        with in_section(self._recipe, "base"):
            return version_of(self._client, base)

    def _upload(self) -> list[str]:
        """A file of the same content that was sent before is not sent again."""
        stored = stored_files(self._client, self._recipe.files)
        say = self._view.kept if all(stored.values()) else self._view.done
        ids = [
            known or str(self._client.files.upload(file)["id"]) for file, known in stored.items()
        ]
        say("files", files_words([*stored]) + (f" {ids[0]}" if len(ids) == 1 else ""))
        self.made.file_ids = ids
        return ids

    def _make_dataset(self, file_ids: Sequence[str]) -> None:
        job, accepted = self._job(dataset_order(self._recipe, file_ids))
        self.made.dataset_id = str(accepted["id"])
        self.made.dataset = job["result"]["summary"]

    def _prune(self, base: str) -> tuple[str, str]:
        """The version to train, and the whole one, where the recipe has parts of it cut away."""
        order = pruning_order(self._recipe, base, self.made.dataset_id)
        if order is None:
            return base, ""
        job, _ = self._job(order)
        return str(job["result"]["version_id"]), base

    def _train(self, base: str, whole: str) -> None:
        job, _ = self._job(training_order(self._recipe, base, self.made.dataset_id, whole))
        result = job["result"]
        self.made.version_id, self.made.training = result["version_id"], result["summary"]

    def _build(self) -> None:
        """The builds that were asked for; and the one that the optimizer-builder orders by itself
        and that decides what serves the model."""
        made = self.made
        made.served_version_id = self._decided()
        if made.served_version_id:
            made.steps["build"] = ToldStep(job_id=self._default_build())
            self._view.kept("build", made.served_version_id)
        else:
            self._follow_default_build()
        if job_id := made.steps["build"].job_id:
            result: Record = self._client.jobs.retrieve(job_id).get("result") or {}
            made.build = result.get("summary") or {}
        for order in build_orders(self._recipe, made.version_id, made.dataset_id):
            self._job(order)

    def _decided(self) -> str:
        """What serves the model; empty while its default build has not ended."""
        return serving_version(self._client, self.made.version_id)

    def _follow_default_build(self) -> None:
        """A build that fails leaves the model to be served as it was trained.

        Raises:
            UnavailableError: none is ordered.
        """
        gives_up_at = time.monotonic() + self._build_wait_seconds
        followed, failure = "", ""
        while not (decided := self._decided()):
            job_id = self._default_build()
            if job_id and job_id != followed:
                followed = job_id
                self.made.steps["build"] = ToldStep(job_id=job_id)
                try:
                    self._follow(job_id, "build")
                except JobFailedError as error:
                    failure = error.message
                gives_up_at = time.monotonic() + self._build_wait_seconds
            elif time.monotonic() > gives_up_at:
                raise UnavailableError(
                    f"no build of {self.made.version_id} ended. See whether optimizer-builder"
                    " runs, and run the recipe again"
                )
            time.sleep(LOOK_SECONDS)
        self.made.served_version_id = decided
        if failure:
            self._view.left("build", f"{failure}. {decided} is served")
        else:
            self._view.done("build", decided)

    def _default_build(self) -> str:
        """The job that the optimizer-builder orders by itself; empty until it has."""
        jobs = self._client.jobs.list(kind="optimize")
        made_of = self.made.version_id
        found = (job["id"] for job in jobs if job["spec"].get("source_version_id") == made_of)
        return str(next(found, ""))

    def _check_learned(self) -> None:
        if self._recipe.requires_learning and self.made.training.get("learned") is False:
            raise GateNotMetError(
                f"the model did not learn, so alias {self._recipe.alias} stays where it is:"
                f" {self.made.training.get('advice', '')} With `require_learned: false` it moves"
            )

    def _evaluate(self) -> str:
        """The job; empty where no evaluation is asked for."""
        made = self.made
        files = upload_suite(self._client, self._recipe.suite)
        order = evaluation_order(self._recipe, made.served_version_id, made.dataset_id, files)
        if order is None:
            return ""
        job, _ = self._job(order)
        made.evaluation = job["result"]["summary"]
        return made.steps[order.step].job_id

    def _score(self, judge: RecipeJudging | None, job_id: str) -> None:
        given = self._recipe.judge
        if judge is None or given is None:
            return
        try:
            judged = self.made.judged = judge.score(job_id, given.worst)
        except PreconditionError as error:
            raise self._not_met(error.message) from error
        mean = judged["mean"]["model"]
        self._view.done("judge", f"{mean['value']:.4g} ({mean['low']:.4g} to {mean['high']:.4g})")

    def _check_protections(self) -> None:
        failed = [each for each in self.made.protections if not each["passed"]]
        if failed:
            raise self._not_met("; ".join(f"{protection_name(it)}: {it['why']}" for it in failed))

    def _not_met(self, why: str) -> GateNotMetError:
        return GateNotMetError(f"alias {self._recipe.alias} stays where it is: {why}")

    def _aliases(self) -> Iterator[str]:
        yield self._recipe.alias
        if self._recipe.is_default and self._recipe.alias != DEFAULT_ALIAS:
            yield DEFAULT_ALIAS

    def _move(self, alias: str, also_others: bool) -> None:
        """Where somebody else has moved it, it is theirs."""
        wanted, step = self.made.served_version_id, f"alias {alias}"
        aliases = self._client.aliases.list()
        at = next((str(each["version_id"]) for each in aliases if each["name"] == alias), "")
        asked, stood_at = self._record.moved(alias)
        if at and (at == wanted or (asked, stood_at) == (wanted, at)):
            self._view.kept(step, at)
        elif at and at != stood_at and not also_others:
            self._view.left(
                step,
                f"stands at {at}, where no run of this recipe put it. `--move-alias` moves it",
            )
        else:
            moved = self._client.aliases.set(alias, version_id=wanted)
            at = str(moved["version_id"])
            self._record.move(alias, wanted, at)
            self._view.done(step, at)
        self.made.aliases[alias] = at

    def _job(self, order: Order) -> tuple[Record, Record]:
        """A job that has succeeded, and the answer to its order."""
        for key in order.idempotency_keys():
            with in_section(self._recipe, order.section):
                accepted = self._client.request(
                    "POST", order.path, json=order.body, idempotency_key=key
                )
            job_id = accepted.get("job_id") or accepted["id"]
            job = self._client.jobs.retrieve(job_id)
            self.made.steps[order.step] = ToldStep(job_id=job_id)
            if job["status"] == "succeeded":
                self._view.kept(order.step, job_id)
                return job, accepted
            if job["status"] == "cancelled":
                continue
            if job["status"] in ("failed", "paused"):
                self._client.jobs.resume(job_id)
            self.made.jobs.append(job_id)
            ended = self._follow(job_id, order.step)
            if words := learned_words(ended):
                self._view.done(order.step, words)
            else:
                self._view.followed(order.step)
            return ended, accepted
        raise AssertionError("keys do not end")
