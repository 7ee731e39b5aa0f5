"""Choices of a fine-tuning: hyper-parameters, limits, distribution and teacher answers."""

from typing import Annotated, Any, Literal

from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill.trainer.v1.trainer_service_pb2 import Distribution
from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from modelmill_gateway.entrypoints.schemas.parsing import StrictBody

UINT32 = 2**32
SEARCH = "search"
"""A learning rate that the trainer shall look for."""
APPLIES_TO = "x-applies-to"
"""Keyword of a field's schema: values of other fields with which it has a meaning; null is none."""
_LOW_RANK = {"training_method": ["lora", "qlora", "auto"]}
_VIRTUAL = {"training_method": ["prefix", "prompt"]}
_PREFERENCES = {"objective": ["dpo", "kto"]}
_DISTILLATION = {"objective": ["distillation"]}
CONDITIONS: dict[str, Any] = {
    "lora_rank": _LOW_RANK,
    "lora_alpha": _LOW_RANK,
    "lora_dropout": _LOW_RANK,
    "target_modules": _LOW_RANK,
    "target_parameters": {"training_method": ["lora", "auto"]},
    "virtual_tokens": _VIRTUAL,
    "preference_beta": _PREFERENCES,
    "distillation_temperature": _DISTILLATION,
    "distillation_weight": _DISTILLATION,
    "teacher_texts": _DISTILLATION,
    "last_turn_only": {"objective": [None, "answers", "distillation"]},
}
"""The trainer's rule of fields by method and objective; a test compares both."""


def _unset(value: Any, words: str = '"auto"') -> Any:
    """None for OpenAI's word for "the default"; other words are none."""
    if isinstance(value, str) and value != "auto":
        raise ValueError(f"must be a number or {words}")
    return None if value == "auto" else value


def _rate(value: Any) -> Any:
    return _unset(value, f'"auto" or "{SEARCH}"')


def _or_auto(schema: dict[str, Any]) -> None:
    """Says in the API document that the word may stand for the default."""
    schema["anyOf"].insert(1, {"const": "auto", "type": "string"})


def _or_word(schema: dict[str, Any]) -> None:
    schema["anyOf"].insert(1, {"enum": ["auto", SEARCH], "type": "string"})


def _with_conditions(schema: dict[str, Any]) -> None:
    """Says in the API document with which method and objective a field has a meaning."""
    for name, condition in CONDITIONS.items():
        schema["properties"][name][APPLIES_TO] = condition


Number = Annotated[float | None, BeforeValidator(_unset), Field(json_schema_extra=_or_auto)]
Rate = Annotated[float | None, BeforeValidator(_rate), Field(json_schema_extra=_or_word)]
Whole = Annotated[int | None, BeforeValidator(_unset), Field(json_schema_extra=_or_auto)]
Names = Annotated[list[str] | None, Field(min_length=1, max_length=32)]


class HyperParametersBody(StrictBody):
    """OpenAI's names and ours. "auto", null and absence leave it to the trainer.

    On the wire to the trainer 0 means the default, so that 0 is refused wherever it would mean
    something else. Upper limits are the trainer's to know.
    """

    model_config = ConfigDict(json_schema_extra=_with_conditions)

    n_epochs: Number = Field(None, gt=0, description="OpenAI's name of `epochs`.")
    epochs: Number = Field(None, gt=0, description="Passes over the train split.")
    batch_size: Whole = Field(
        None, gt=0, lt=UINT32, description="Rows of an optimizer step, over all micro-batches."
    )
    learning_rate: Rate = Field(
        None,
        gt=0,
        description='Learning rate, or "search": short runs are compared on the valid split.',
    )
    search_learning_rate: bool | None = Field(None, description='`learning_rate` is "search".')
    learning_rate_multiplier: Number = Field(
        None, gt=0, description="Multiplier on the learning rate that the trainer chooses."
    )
    preset: Literal["guide"] | None = Field(
        None, description="Fixed epochs, batch size and rate instead of chosen ones."
    )
    gradient_accumulation_steps: Whole = Field(
        None, gt=0, lt=UINT32, description="Micro-batches of an optimizer step; 1 by default."
    )
    warmup_ratio: Number = Field(
        None,
        gt=0,
        description="Share of the steps over which the learning rate rises; 0.1 by default.",
    )
    max_steps: Whole = Field(
        None, ge=0, lt=UINT32, description="Maximum optimizer steps; 0 means no limit."
    )
    max_tokens_per_row: Whole = Field(
        None,
        gt=0,
        lt=UINT32,
        description="Longer rows are refused, never cut; the model's context by default.",
    )
    lora_rank: Whole = Field(
        None, gt=0, lt=UINT32, description="Rank of the LoRA adapter; 16 by default."
    )
    lora_alpha: Number = Field(
        None, gt=0, description="Scale of the LoRA adapter; twice the rank by default."
    )
    lora_dropout: Number = Field(
        None, ge=0, description="Dropout on the input of the LoRA adapter; 0 by default."
    )
    weight_decay: Number = Field(None, ge=0, description="Decoupled weight decay; 0 by default.")
    max_grad_norm: Number = Field(
        None, gt=0, description="Norm to which gradients are clipped; 1 by default."
    )
    checkpoint_steps: Whole = Field(
        None,
        gt=0,
        lt=UINT32,
        description="Steps between checkpoints; by default as their cost allows.",
    )
    virtual_tokens: Whole = Field(
        None, gt=0, lt=UINT32, description="Length of a prefix or prompt in tokens; 20 by default."
    )
    preference_beta: Number = Field(
        None, gt=0, description="Beta of DPO and KTO: the cost of leaving the base; 0.1 by default."
    )
    distillation_temperature: Number = Field(
        None, gt=0, description="Softmax temperature of teacher and student; 2 by default."
    )
    distillation_weight: Number = Field(
        None, gt=0, description="Share of the teacher in the loss; 0.5 by default."
    )
    teacher_texts: Whole = Field(
        None,
        gt=0,
        lt=UINT32,
        description="Texts that the teacher writes, learned beside the rows; none by default.",
    )
    target_modules: Names = Field(
        None, description="Linear layers that get LoRA; all but routers and output head by default."
    )
    target_parameters: Names = Field(
        None, description="Stacked parameters that get LoRA beside the layers, such as experts."
    )
    last_turn_only: bool | None = Field(
        None, description="Whether only the last answer of a conversation is learned."
    )

    @model_validator(mode="before")
    @classmethod
    def _search(cls, given: Any) -> Any:
        """A word in the place of the rate is a choice of its own to the trainer."""
        if isinstance(given, dict) and given.get("learning_rate") == SEARCH:
            return {**given, "learning_rate": None, "search_learning_rate": True}
        return given


class PreferenceParametersBody(HyperParametersBody):
    """Hyper-parameters of DPO; `beta` is OpenAI's name of `preference_beta`."""

    beta: Number = Field(None, gt=0, description="OpenAI's name of `preference_beta`.")


class TrainingLimitsBody(StrictBody):
    """Limits of a run that end it before its epochs; it succeeds with its best weights."""

    max_seconds: float | None = Field(
        None, gt=0, description="Maximum seconds of work, over all attempts."
    )
    max_cost: float | None = Field(None, gt=0, description="Maximum cost at the operator's price.")
    evaluation_steps: int | None = Field(
        None, gt=0, lt=UINT32, description="Steps between two evaluations of the valid split."
    )
    patience: int | None = Field(
        None, gt=0, lt=UINT32, description="Early stopping: evaluations without a better loss."
    )
    min_improvement: float | None = Field(
        None, ge=0, description="Smallest loss difference that counts as an improvement."
    )


class DistributionBody(StrictBody):
    """Distributed training by ZeRO; fields set here override the preset."""

    ranks: int | None = Field(None, gt=0, lt=UINT32, description="Number of processes.")
    zero_stage: Literal[1, 2, 3] | None = Field(
        None, description="ZeRO stage: what is divided among the ranks."
    )
    offload_optimizer: bool | None = Field(
        None, description="Whether moments and master weights stay in main memory."
    )
    offload_parameters: bool | None = Field(
        None, description="Whether weights are in main memory between uses; stage 3 only."
    )
    precision: Literal["fp32", "bf16", "fp16"] | None = Field(
        None, description="Number format of the computation."
    )
    preset: Literal["guide-zero3"] | None = Field(
        None, description="Stage 3 with both offloads in bf16."
    )

    def message(self) -> Distribution:
        """As the trainer takes it."""
        chosen = self.model_dump(exclude_none=True)
        if self.precision is not None:
            name = f"TRAINING_PRECISION_{self.precision.upper()}"
            chosen["precision"] = pb.TrainingPrecision.Value(name)
        return Distribution(**chosen)


class TeacherAnswersBody(StrictBody):
    """Teacher answers: the student learns the served teacher's answers to train and valid."""

    max_new_tokens: int | None = Field(
        None,
        gt=0,
        lt=UINT32,
        description="Maximum tokens; rows whose answer does not end by then are left out.",
    )
    temperature: float | None = Field(
        None, ge=0, description="Sampling temperature; 0, the default, is greedy."
    )
