"""Shapes of models, names, files and datasets."""

from typing import Literal

from pydantic import RootModel

from modelmill_gateway.entrypoints.document.job_answers import JobFailure
from modelmill_gateway.entrypoints.document.shape import Answer, Page
from modelmill_gateway.entrypoints.schemas.base import Deleted


class Capabilities(Answer):
    """Capabilities of a version on its last engine; requests for more are refused."""

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
    """Progress of an engine that loads a version."""

    elapsed_seconds: float
    remaining_seconds: float | None
    """By earlier loads; null where there is none to go by, or it takes longer than they did."""


class ModelVersion(Answer):
    """Model version in one form."""

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
    """Alias: a name that is asked for like a model."""

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
    """A model as it can be asked for: an alias or a version."""


class ModelList(Answer):
    """Models: aliases first, then versions, newest first."""

    object: Literal["list"]
    data: list[AnyModel]


class DeletedModel(Deleted):
    """Confirmation of a deletion: a retired version with its builds, or an alias."""

    version_ids: list[str]


class AliasVariant(Answer):
    """Variant of an alias; its share is its weight over the sum of all weights."""

    name: str
    version_id: str
    weight: float


class AliasShadow(Answer):
    """Shadow version: gets a copy of a share of the requests; its answers are discarded."""

    version_id: str
    share: float


class Alias(Answer):
    """An alias: a name and the version that it points to."""

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
    """Aliases in force."""

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
    """A dataset whose job was accepted."""

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
    """Page of ready datasets, newest first."""
