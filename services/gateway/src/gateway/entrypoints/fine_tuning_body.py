"""The body of a fine-tuning job: OpenAI's fields, and every choice that our trainer offers."""

from typing import Annotated, Any, Literal

from modelmill.trainer.v1.trainer_service_pb2 import (
    TRAINING_METHOD_FULL,
    TRAINING_METHOD_LORA,
    HyperParameters,
    TrainingLimits,
)
from pydantic import BeforeValidator, Field
from service_kit.errors import InvalidInputError

from gateway.create_fine_tuning_job import FineTuningOrder
from gateway.entrypoints.bodies import PRIORITIES, PRIORITY_MEANING, Priority, StrictBody

UINT32 = 2**32
METHODS = {"lora": TRAINING_METHOD_LORA, "full": TRAINING_METHOD_FULL}


def _unset(value: Any) -> Any:
    """OpenAI's word for "the default"."""
    return None if value == "auto" else value


def _no_multiplier(value: Any) -> None:
    if value not in (None, "auto"):
        raise ValueError("not supported; give learning_rate")


Number = Annotated[float | None, BeforeValidator(_unset)]
Whole = Annotated[int | None, BeforeValidator(_unset)]


class HyperParametersBody(StrictBody):
    """OpenAI's names and ours. "auto", null and absence take the trainer's default.

    On the wire to the trainer 0 means the default, so that 0 is refused wherever it would mean
    something else. Upper limits are the trainer's to know.
    """

    n_epochs: Number = Field(None, gt=0)
    epochs: Number = Field(None, gt=0)
    batch_size: Whole = Field(None, gt=0, lt=UINT32)
    learning_rate: Number = Field(None, gt=0)
    learning_rate_multiplier: Annotated[None, BeforeValidator(_no_multiplier)] = None
    gradient_accumulation_steps: Whole = Field(None, gt=0, lt=UINT32)
    warmup_ratio: Number = Field(None, gt=0)
    max_steps: Whole = Field(None, ge=0, lt=UINT32)
    max_tokens_per_row: Whole = Field(None, gt=0, lt=UINT32)
    lora_rank: Whole = Field(None, gt=0, lt=UINT32)
    lora_alpha: Number = Field(None, gt=0)
    lora_dropout: Number = Field(None, ge=0)
    weight_decay: Number = Field(None, ge=0)
    max_grad_norm: Number = Field(None, gt=0)
    checkpoint_steps: Whole = Field(None, gt=0, lt=UINT32)


class LimitsBody(StrictBody):
    """When a run ends before its epochs do; it succeeds with the best weights it has."""

    max_seconds: float | None = Field(None, gt=0, description="Of work, over all attempts.")
    max_cost: float | None = Field(None, gt=0, description="At the operator's price.")
    evaluation_steps: int | None = Field(
        None, gt=0, lt=UINT32, description="Between two measures of the valid split."
    )
    patience: int | None = Field(
        None, gt=0, lt=UINT32, description="Measures without a better loss, then training stops."
    )
    min_improvement: float | None = Field(None, ge=0, description="What counts as better.")


class SupervisedBody(StrictBody):
    """Supervised fine-tuning, the only way of training that is offered."""

    hyperparameters: HyperParametersBody = HyperParametersBody()


class MethodBody(StrictBody):
    """How to train, in OpenAI's newer form."""

    type: Literal["supervised"]
    supervised: SupervisedBody = SupervisedBody()


class FineTuningBody(StrictBody):
    """POST /v1/fine_tuning/jobs. Ours: `training_method`, `evaluate`, `limits` and `priority`."""

    model: str = Field(min_length=1, max_length=256)
    training_file: str = Field(
        min_length=1, max_length=128, description="file-… of conversations, or ds-…"
    )
    suffix: str | None = Field(None, min_length=1, max_length=64)
    seed: int | None = Field(None, gt=0, lt=2**64)
    hyperparameters: HyperParametersBody = HyperParametersBody()
    method: MethodBody | None = None
    training_method: Literal["lora", "full"] = Field("lora", description="Which weights change.")
    evaluate: bool = Field(True, description="Score base and tuned model on the test split.")
    limits: LimitsBody = LimitsBody()
    priority: Priority = Field("normal", description=PRIORITY_MEANING)
    validation_file: None = None
    integrations: list[None] | None = Field(None, max_length=0)
    metadata: None = None


def order_from(body: FineTuningBody) -> FineTuningOrder:
    """The order in a body.

    Raises:
        InvalidInputError: a hyper-parameter is given twice with different values; lists all.
    """
    chosen = _chosen(body)
    if body.seed is not None:
        chosen["seed"] = body.seed
    return FineTuningOrder(
        model=body.model,
        training_file=body.training_file,
        name=body.suffix or "",
        method=METHODS[body.training_method],
        hyper_parameters=HyperParameters(**chosen),
        evaluate=body.evaluate,
        limits=TrainingLimits(**body.limits.model_dump(exclude_none=True)),
        priority=PRIORITIES[body.priority],
    )


def _chosen(body: FineTuningBody) -> dict[str, Any]:
    """Every hyper-parameter that is set, under the trainer's names."""
    newer = body.method.supervised.hyperparameters if body.method else HyperParametersBody()
    chosen: dict[str, Any] = {}
    errors = []
    for given in (body.hyperparameters, newer):
        for name, value in given.model_dump(exclude_none=True).items():
            name = "epochs" if name == "n_epochs" else name
            if chosen.setdefault(name, value) != value:
                errors.append(f"hyperparameters.{name}: given twice with different values")
    if errors:
        raise InvalidInputError(errors)
    return chosen
