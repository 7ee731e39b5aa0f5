"""Model versions, and aliases that point to them."""

from typing import Annotated, Any, Literal, Self

from modelmill.registry.v1.model_events_pb2 import AliasState, ModelReady, ServingAbilities
from modelmill_registry.default_build import is_lossy, is_slower, is_unscored
from pydantic import AfterValidator, Field, RootModel, model_validator

from modelmill_gateway.domain.models import ONLY, Shadow, Split, Variant
from modelmill_gateway.entrypoints.schemas.base import (
    DatasetId,
    Deleted,
    Digest,
    JobId,
    ModelName,
    OrNull,
    ResponseModel,
    Tenant,
    UnixSeconds,
    User,
    VersionId,
)
from modelmill_gateway.entrypoints.schemas.parsing import StrictBody
from modelmill_gateway.routing.find_model import alias_split, is_build

Tenths = Annotated[float, AfterValidator(lambda it: round(it, 1))]
MAX_VARIANTS = 8
MAX_FALLBACKS = 4
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
VERSION = "Version id or name."


class VariantBody(StrictBody):
    """Variant of an alias."""

    name: str = Field(max_length=64, pattern=NAME, description="Name, as in x-model-variant.")
    version_id: str = Field(min_length=1, max_length=256, description=VERSION)
    weight: float = Field(
        ge=0, le=1e6, description="Weight; the share is the weight over the sum of all weights."
    )


class ShadowBody(StrictBody):
    """Shadow version: gets a copy of a share of the requests; its answers are discarded."""

    version_id: str = Field(min_length=1, max_length=256, description=VERSION)
    share: float = Field(gt=0, le=1, description="Share of requests that are copied.")


class AliasBody(StrictBody):
    """Target of an alias: either `version_id` or `variants`."""

    version_id: str | None = Field(
        None, min_length=1, max_length=256, description=VERSION, examples=["mv-5d1c0e"]
    )
    variants: list[VariantBody] | None = Field(None, min_length=1, max_length=MAX_VARIANTS)
    shadow: ShadowBody | None = None
    fallback: list[str] = Field(
        default_factory=list,
        max_length=MAX_FALLBACKS,
        description="Versions to try in order when the chosen one cannot begin.",
    )
    store: bool = Field(
        False, description="Whether requests and answers are logged; `/v1/logs` shows them."
    )

    @model_validator(mode="after")
    def _means_something(self) -> "AliasBody":
        if (self.version_id is None) == (self.variants is None):
            raise ValueError("give either version_id or variants")
        variants = self.variants or []
        if len({variant.name for variant in variants}) < len(variants):
            raise ValueError("variants: each needs a name of its own")
        if variants and not sum(variant.weight for variant in variants):
            raise ValueError("variants: one at least needs a weight above 0")
        return self

    @property
    def split(self) -> Split | None:
        """What was asked for beyond a plain version."""
        if not (self.variants or self.shadow or self.fallback or self.store):
            return None
        given = self.variants or [
            VariantBody(name=ONLY, version_id=self.version_id or "", weight=1.0)
        ]
        return Split(
            tuple(Variant(it.name, it.version_id, it.weight) for it in given),
            Shadow(self.shadow.version_id, self.shadow.share) if self.shadow else None,
            tuple(self.fallback),
            is_logged=self.store,
        )


class Capabilities(ResponseModel):
    """Capabilities of a version on its last engine; requests for more are refused."""

    logprobs: bool = Field(examples=[True])
    """Of the tokens of an answer."""
    top_logprobs: int
    """Alternatives of each token at most."""
    response_format: bool = Field(validation_alias="grammar", examples=[True])
    """Answers held to a schema, an expression or a choice."""
    tools: bool
    """The model is told of tools by its chat template, and may call them."""
    required_tools: bool = Field(validation_alias="grammar", examples=[True])
    """Calls may be demanded by `tool_choice`, also where `tools` is false."""
    embeddings: bool = Field(validation_alias="embed", examples=[True])
    scores: bool = Field(validation_alias="score", examples=[True])
    """How likely given texts are, as evaluations ask."""
    exact: bool = Field(examples=[True])
    """The same request gives the same tokens, whatever else runs."""

    @classmethod
    def of_abilities(cls, abilities: ServingAbilities | None) -> Self | None:
        """What the engine that loaded a version last can do; None until one has."""
        if abilities is None:
            return None
        return cls.of(abilities, logprobs=abilities.HasField("top_logprobs"))


class Loading(ResponseModel):
    """Progress of an engine that loads a version."""

    elapsed_seconds: Tenths = Field(examples=[4.2])
    remaining_seconds: Tenths | None = Field(examples=[7.5])
    """By earlier loads; null where there is none to go by, or it takes longer than they did."""


class ModelRecord(ResponseModel):
    """Model version in one form, as it was made."""

    id: VersionId = Field(validation_alias="version_id")
    object: Literal["model"] = "model"
    created: UnixSeconds = Field(validation_alias="created_at")
    owned_by: Tenant = Field(validation_alias="tenant")
    name: ModelName
    form: str = Field(examples=["openvino-int8"])
    parent_version_id: OrNull[VersionId]
    base_version_id: OrNull[VersionId]
    job_id: OrNull[JobId]
    dataset_id: OrNull[DatasetId]
    digest: Digest
    size_bytes: int = Field(examples=[137000000])
    context_tokens: int = Field(examples=[2048])
    metrics: dict[str, float] = Field(
        examples=[{"accuracy": 0.71, "speedup": 1.62, "speedup_low": 1.4, "speedup_high": 1.8}]
    )
    slower_than_source: bool | None = Field(examples=[False])
    """Of builds: such a one serves only who asks for its id."""
    loses_too_much: bool | None = Field(examples=[False])
    """Of builds, whether one loses more than its order allowed: no alias may name it. Null where
    a loss that the order limits was not measured."""

    @classmethod
    def of_version(cls, version: ModelReady, **others: Any) -> Self:
        """A version; `others` are what is not its own."""
        built = is_build(version)
        return cls.of(
            version,
            slower_than_source=is_slower(version) if built else None,
            loses_too_much=None if not built or is_unscored(version) else is_lossy(version),
            **others,
        )


class ModelVersion(ModelRecord):
    """Model version in one form."""

    serving_version_id: VersionId | None
    """The version that its name is served by; null while its default build has not ended."""
    capabilities: Capabilities | None
    """Null until an engine has loaded it."""
    loading: Loading | None
    """Null while no engine loads it."""


class ModelAlias(ResponseModel):
    """Alias: a name that is asked for like a model."""

    id: ModelName = Field(validation_alias="name")
    object: Literal["model"] = "model"
    created: UnixSeconds = Field(validation_alias="moved_at")
    owned_by: Tenant = Field(validation_alias="tenant")
    version_id: VersionId
    capabilities: Capabilities | None
    """Of the version."""
    loading: Loading | None
    """Of the version."""


class AnyModel(RootModel[ModelAlias | ModelVersion]):
    """A model as it can be asked for: an alias or a version."""


class ModelList(ResponseModel):
    """Models: aliases first, then versions, newest first."""

    object: Literal["list"] = "list"
    data: list[ModelAlias | ModelVersion]


class ModelCard(ResponseModel):
    """Model card: what a version was made from, how, and what was measured. Null where it has none,
    as of a folder that was imported without one."""

    id: VersionId
    object: Literal["model.card"] = "model.card"
    card: str | None = Field(examples=["---\nlibrary_name: peft\n---\n\n# kinds\n"])
    """Markdown; a head in YAML comes first, as Hugging Face reads it."""


class DeletedModel(Deleted):
    """Confirmation of a deletion: a retired version with its builds, or an alias."""

    version_ids: list[VersionId]


class AliasVariant(ResponseModel):
    """Variant of an alias; its share is its weight over the sum of all weights."""

    name: str
    version_id: VersionId
    weight: float


class AliasShadow(ResponseModel):
    """Shadow version: gets a copy of a share of the requests; its answers are discarded."""

    version_id: VersionId
    share: float


class Alias(ResponseModel):
    """An alias: a name and the version that it points to. One with variants has them, too."""

    id: ModelName = Field(validation_alias="name")
    object: Literal["alias"] = "alias"
    name: ModelName
    version_id: VersionId
    owned_by: Tenant = Field(validation_alias="tenant")
    moved_by: User
    moved_at: UnixSeconds
    variants: list[AliasVariant] | None = None
    shadow: AliasShadow | None = None
    fallback: list[str] | None = None
    store: bool | None = Field(None, examples=[True])
    """Whether requests and answers are logged; absent where they are not."""

    @classmethod
    def of_alias(cls, alias: AliasState) -> Self:
        """An alias, with all that it means."""
        split = alias_split(alias)
        if split is None:
            return cls.of(alias)
        return cls.of(
            alias,
            variants=[AliasVariant.of(variant) for variant in split.variants],
            shadow=AliasShadow.of(split.shadow) if split.shadow else None,
            fallback=list(split.fallback),
            store=split.is_logged or None,
        )
