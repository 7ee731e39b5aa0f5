"""Shapes of models, names, files and datasets."""

from typing import Literal

from pydantic import RootModel

from modelmill_gateway.entrypoints.document.job_answers import JobFailure
from modelmill_gateway.entrypoints.document.shape import Answer, Deleted, Page


class Capabilities(Answer):
    """What the engine that loaded a version last can do with it; requests for more are refused."""

    logprobs: bool
    """Of the tokens of an answer."""
    top_logprobs: int
    """Alternatives of each token at most."""
    response_format: bool
    """Answers held to a schema, an expression or a choice."""
    tools: bool
    """The model is told of tools by its chat template, and may call them."""
    required_tools: bool
    """Calls may be demanded by `tool_choice`, also where `tools` is false."""
    embeddings: bool
    scores: bool
    """How likely given texts are, as evaluations ask."""
    exact: bool
    """The same request gives the same tokens, whatever else runs."""


class Loading(Answer):
    """How far an engine is with loading a version."""

    elapsed_seconds: float
    remaining_seconds: float | None
    """By earlier loads; null where there is none to go by, or it takes longer than they did."""


class ModelVersion(Answer):
    """One version in one form."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    name: str
    form: str
    parent_version_id: str | None
    base_version_id: str | None
    job_id: str | None
    dataset_id: str | None
    digest: str
    size_bytes: int
    context_tokens: int
    metrics: dict[str, float]
    serving_version_id: str | None
    """The version that its name is served by; null while its default build has not ended."""
    slower_than_source: bool | None
    """Of builds: such a one serves only who asks for its id."""
    capabilities: Capabilities | None
    """Null until an engine has loaded it."""
    loading: Loading | None
    """Null while no engine loads it."""


class ModelAlias(Answer):
    """A name that can be asked for like a model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    version_id: str
    capabilities: Capabilities | None
    """Of the version."""
    loading: Loading | None
    """Of the version."""


class AnyModel(RootModel[ModelAlias | ModelVersion]):
    """What a name stands for: an alias, or the version itself."""


class ModelList(Answer):
    """Names first, then versions, newest first."""

    object: Literal["list"]
    data: list[AnyModel]


class DeletedModel(Deleted):
    """A version that is out of use, and all that went with it; nothing went with an alias."""

    version_ids: list[str]


class AliasVariant(Answer):
    """One of an alias's versions; its share is its weight over the sum of all."""

    name: str
    version_id: str
    weight: float


class AliasShadow(Answer):
    """Asked the same behind a share of the answers; what it says is thrown away."""

    version_id: str
    share: float


class Alias(Answer):
    """A name and the version that it means."""

    id: str
    object: Literal["alias"]
    name: str
    version_id: str
    owned_by: str
    moved_by: str
    moved_at: int
    variants: list[AliasVariant] | None = None
    shadow: AliasShadow | None = None
    fallback: list[str] | None = None


class AliasList(Answer):
    """Names in force."""

    object: Literal["list"]
    data: list[Alias]
    has_more: Literal[False]


class File(Answer):
    """A stored file."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: Literal["processed"]
    digest: str


class FilePage(Page[File]):
    """Files, newest first."""


class AcceptedDataset(Answer):
    """A dataset to come."""

    id: str
    object: Literal["dataset"]
    status: Literal["queued"]
    job_id: str


class Dataset(Answer):
    """A dataset, or the job that makes it."""

    id: str
    object: Literal["dataset"]
    status: str
    name: str | None
    file_id: str | None
    job_id: str
    digest: str | None
    counts: dict[str, int]
    created_at: int
    error: JobFailure | None


class DatasetPage(Page[Dataset]):
    """Datasets that are ready, newest first."""
