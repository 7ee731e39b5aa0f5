"""Use case: what a dataset job's child asks of models, answered by its parent.

The child decodes what strangers uploaded, so it has no secret and talks to nobody but its parent,
who lets it ask the models that the spec names, for its own tenant.
"""

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from jobs.active import ActiveJob
from jobs.errors import JobFailed
from modelmill.inference.v1.inference_service_pb2 import ScoreRequest
from service_kit.errors import NotFoundError, PreconditionError

from data_prep.domain.dataset_plan import DatasetPlan

LOSS, TEXT = "loss", "text"
"""What is asked for."""
WHY_NO_MODELS = "data-prep has no inference service to ask; set DATA_PREP_INFERENCE_ADDRESS"


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """To one question."""

    value: float | str | None
    """A loss or a text; None where the model has none to this question."""
    version_id: str
    """Of who answered; empty for a refusal."""
    refusal: str = ""
    """Why there is no answer."""


class Models(Protocol):
    """See `adapters.inference_models.InferenceModels`."""

    async def scorer(self, tenant: str, model: str) -> str: ...

    async def writer(self, tenant: str, model: str) -> str: ...

    async def loss(self, request: ScoreRequest) -> ModelAnswer: ...

    async def text(
        self, *, tenant: str, model: str, prompt: str, max_new_tokens: int, seed: int
    ) -> ModelAnswer: ...


@dataclass(frozen=True)
class OpenModels:
    """The models of one job, each fixed to the version that it was when the job began."""

    models: Models
    tenant: str
    versions: Mapping[tuple[str, str], str]
    """By what is asked for and the model as in the spec."""

    async def __call__(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a question of `adapters.parent_models.ParentModels`.

        Raises:
            JobFailed: The model is gone.
            UnavailableError: The service does not answer, or has no room, after all patience.
            KeyError: The spec names no such model.
        """
        version = self.versions[question["asks"], question["model"]]
        try:
            answer = await self._answer(version, question)
        except NotFoundError as error:
            raise _gone(error) from error
        value, refusal = answer.value, answer.refusal
        return {"value": value, "version": answer.version_id, "refusal": refusal}

    async def _answer(self, version: str, question: Mapping[str, Any]) -> ModelAnswer:
        if question["asks"] == LOSS:
            request = ScoreRequest.FromString(b64decode(question["request"]))
            request.tenant, request.model = self.tenant, version
            return await self.models.loss(request)
        return await self.models.text(
            tenant=self.tenant,
            model=version,
            prompt=question["prompt"],
            max_new_tokens=question["max_new_tokens"],
            seed=question["seed"],
        )


async def open_models(
    models: Models | None, job: ActiveJob, plan: DatasetPlan
) -> OpenModels | None:
    """Load what the plan asks, and see which versions answer; None where it asks nothing.

    Raises:
        JobFailed: A model is unknown or cannot do it, or there is no service to ask.
        UnavailableError: The service does not answer, or has no room: the job shall wait.
    """
    if not plan.asks_models:
        return None
    if models is None:
        raise JobFailed("NO_INFERENCE", f"the spec asks models: {WHY_NO_MODELS}", WHY_NO_MODELS)
    wanted = [(TEXT, step.model) for step in plan.augment.by_models]
    if plan.curriculum.loss_model:
        wanted.append((LOSS, plan.curriculum.loss_model))
    versions: dict[tuple[str, str], str] = {}
    try:
        for done, (asks, name) in enumerate(wanted):
            await job.report("models", done=done, total=len(wanted), unit="model")
            find = models.scorer if asks == LOSS else models.writer
            versions[asks, name] = await find(job.tenant, name)
    except NotFoundError as error:
        raise _gone(error) from error
    except PreconditionError as error:
        remedy = "Choose a model that inference serves and that takes chats."
        raise JobFailed("MODEL_CANNOT_ANSWER", error.message, remedy) from error
    return OpenModels(models, job.tenant, versions)


def _gone(error: NotFoundError) -> JobFailed:
    return JobFailed("MODEL_GONE", error.message, "Choose another model.")
