"""Datasets: what they shall be, previews, provenance of rows, and differences.

The body mirrors `modelmill.data_prep.v1.DatasetSpec`. Its form is checked here, so that nothing
unknown is ever ignored; names and limits are data-prep's to know.
"""

from typing import Annotated, Any, Literal, Self

from google.protobuf.json_format import MessageToDict, ParseDict
from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec, PreviewDatasetResponse
from modelmill.data_prep.v1.data_prep_service_pb2 import RowProvenance as RowProvenanceMessage
from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill_bus.kinds import dataset_id_of
from modelmill_job_index.index import JobRecord
from pydantic import Field, Json, model_validator

from modelmill_gateway.entrypoints.schemas.base import (
    DatasetId,
    Digest,
    FileId,
    JobId,
    OrNull,
    ResponseModel,
    UnixSeconds,
)
from modelmill_gateway.entrypoints.schemas.jobs import STATUS, JobFailure
from modelmill_gateway.entrypoints.schemas.parsing import JobBody, StrictBody

UINT32 = 2**32
MAX_LISTED = 100
MAX_FILES = 1_000
MAX_PREVIEWED = 100

Word = Annotated[str, Field(min_length=1, max_length=128)]
Words = Annotated[list[Word], Field(max_length=MAX_LISTED)]
NamedWords = Annotated[dict[Word, Word], Field(max_length=MAX_LISTED)]
NamedNumbers = Annotated[dict[Word, float], Field(max_length=MAX_LISTED)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(max_length=128)]
MAPPING = {
    "system_template": "Name the kind of thing.",
    "user_template": "{word}: {gloss}",
    "answer_template": "{kind}",
}
ROW = {
    "messages": [
        {"role": "user", "content": "espresso: strong black coffee"},
        {"role": "assistant", "content": "food"},
    ]
}
"""Examples."""


class MappingBody(StrictBody):
    """How a row becomes a conversation: templates with {column}, a column that holds one, or a
    known layout; exactly one of the three."""

    system_template: str = ""
    user_template: str = ""
    answer_template: str = ""
    rejected_template: str = Field(
        "", description="Template of the rejected answer of a preference pair."
    )
    messages_column: str = ""
    layout: Name = Field(
        "", description='"openai_chat", "sharegpt", "alpaca", "text" or "preference".'
    )
    tools_column: str = ""


class SharesBody(StrictBody):
    """Shares of the splits, together 1; one that is left out is 0."""

    train: Share = 0.0
    valid: Share = 0.0
    test: Share = 0.0


class CleanBody(StrictBody):
    """Cleaning: transforms of the texts."""

    transforms: Words = Field([], description="Names of transforms; empty means the default ones.")


class FilterBody(StrictBody):
    """Filter: which rows are dropped as noise."""

    preset: Name = Field("", description='Preset: "off" or "standard".')
    thresholds: NamedNumbers = Field({})
    languages: Words = Field([], description="Languages kept; empty means all.")


class EntitiesBody(StrictBody):
    """Personal data: what is done with each type."""

    actions: NamedWords = Field({}, description='Action for each type; "*" is for all others.')
    spacy_models: NamedWords = Field({}, description="spaCy pipeline for each language.")


class DuplicatesBody(StrictBody):
    """Deduplication: which rows count as equal."""

    keep_exact: bool = False
    near_threshold: Share = Field(
        0.0, description="Similarity from which rows are near duplicates; 0 turns it off."
    )
    evaluation_file_ids: Words = Field([])
    contamination_threshold: Share = Field(
        0.0,
        description=(
            "Similarity to evaluation rows from which a row is dropped; 0 means equal rows only."
        ),
    )


class AugmentStepBody(StrictBody):
    """Augmentation step."""

    method: Word
    share: Share
    min_similarity: Share = 0.0
    max_similarity: Share = 0.0
    model: Name = ""


class AugmentBody(StrictBody):
    """Data augmentation: rows made from rows of the train split."""

    steps: list[AugmentStepBody] = Field([], max_length=MAX_LISTED)


class CurriculumBody(StrictBody):
    """Curriculum: difficulty of rows, and the order of training."""

    order: Name = Field("", description='Order of training: "none", "staged" or "competence".')
    weights: NamedNumbers = Field({})
    loss_model: Name = ""
    initial_competence: Share = 0.0


class TokenizeBody(StrictBody):
    """Token ids for a base model."""

    model: Name = ""
    max_tokens: int = Field(0, ge=0, lt=UINT32)
    pack_tokens: int = Field(0, ge=0, lt=UINT32)


class ReadingBody(StrictBody):
    """How the bytes of the file are read; what is empty is looked up in the file."""

    encoding: Name = Field(
        "",
        description='"utf-8", "utf-16-le", "utf-16-be", "gb18030", "big5", "shift_jis",'
        ' "windows-1252" or "latin-1".',
    )
    delimiter: Name = Field("", description='Of a CSV file: a comma, a tab, ";" or "|".')
    text_unit: Name = Field("", description='Rows of a text: "paragraph" (default) or "line".')
    sheet: Name = Field("", description="Of a workbook; empty means the first.")
    passage_tokens: int = Field(
        0,
        ge=0,
        le=65_536,
        description="Most tokens of a document's passage: words, Han characters and marks. 0: 512.",
    )
    passage_characters: int = Field(
        0, ge=0, le=262_144, description="Most characters of a passage, in place of tokens."
    )


class DatasetSpecBody(StrictBody):
    """What a dataset shall be."""

    file_id: Word | None = Field(None, examples=["file-91c3d8"])
    file_ids: Annotated[list[Word], Field(max_length=MAX_FILES)] = Field(
        [], description="Several files, read one after the other; in place of `file_id`."
    )
    name: Name = Field("", examples=["kinds"])
    mapping: MappingBody = Field(examples=[MAPPING])
    shares: SharesBody | None = Field(None, examples=[{"train": 0.8, "valid": 0.1, "test": 0.1}])
    seed: int = Field(0, ge=0, lt=2**64)
    max_test_rows: int = Field(
        0, ge=0, lt=UINT32, description="Maximum rows of the test split; 0 means no limit."
    )
    clean: CleanBody | None = None
    filter: FilterBody | None = None
    entities: EntitiesBody | None = None
    duplicates: DuplicatesBody | None = None
    augment: AugmentBody | None = None
    curriculum: CurriculumBody | None = None
    tokenize: TokenizeBody | None = None
    reading: ReadingBody | None = None

    @model_validator(mode="after")
    def _names_files(self) -> Self:
        if (self.file_id is None) == (not self.file_ids):
            raise ValueError("give either file_id, or file_ids for several files")
        return self

    def spec(self) -> DatasetSpec:
        """As data-prep takes it."""
        fields = self.model_dump(exclude_none=True, include=set(DatasetSpecBody.model_fields))
        return ParseDict(fields, DatasetSpec())


class DatasetBody(DatasetSpecBody, JobBody):
    """Request body of POST /v1/datasets."""


class PreviewBody(DatasetSpecBody):
    """Request body of POST /v1/datasets/preview."""

    mapping: MappingBody | None = Field(  # type: ignore[assignment]
        None, description="Without one, one is proposed by the names of the columns."
    )

    rows: int = Field(
        10, ge=1, le=MAX_PREVIEWED, description="Number of rows to show.", examples=[2]
    )


class AcceptedDataset(ResponseModel):
    """A dataset whose job was accepted."""

    id: DatasetId
    object: Literal["dataset"] = "dataset"
    status: Literal["queued"] = "queued"
    job_id: JobId

    @classmethod
    def of_record(cls, record: JobRecord) -> Self:
        """What its job will make."""
        job_id = record.requested.job_id
        return cls(id=dataset_id_of(job_id), job_id=job_id)


class Dataset(ResponseModel):
    """A dataset, or the job that makes it."""

    id: DatasetId = Field(validation_alias="dataset_id")
    object: Literal["dataset"] = "dataset"
    status: str = Field(examples=["ready"])
    name: str | None = Field(examples=["kinds"])
    file_id: OrNull[FileId] = Field(description="The file; null where there are several.")
    file_ids: list[FileId] = Field(description="The files that it is made from, in order.")
    job_id: JobId
    digest: Digest | None
    counts: dict[str, int] = Field(
        examples=[{"rows_in": 900, "rows_kept": 880, "train": 704, "valid": 88, "test": 88}]
    )
    created_at: UnixSeconds
    error: JobFailure | None

    @classmethod
    def of_ready(cls, dataset: DatasetReady | JobRecord) -> Self:
        """A dataset, or what will become one, by the job that makes it."""
        if isinstance(dataset, DatasetReady):
            files = list(dataset.file_ids) or [dataset.file_id]
            return cls.of(dataset, status="ready", error=None, file_ids=files)
        requested, spec = dataset.requested, MessageToDict(dataset.requested.spec)
        file_id = spec.get("file_id")
        return cls(
            id=dataset_id_of(requested.job_id),
            status=STATUS[dataset.state.status],
            name=spec.get("name"),
            file_id=file_id,
            file_ids=spec.get("file_ids") or ([file_id] if file_id else []),
            job_id=requested.job_id,
            digest=None,
            counts={},
            created_at=requested.requested_at.seconds,
            error=JobFailure.of_state(dataset.state),
        )


class PreviewedRow(ResponseModel):
    """Row of the file, and what would become of it."""

    line: int = Field(examples=[1])
    row: OrNull[Json[dict[str, Any]]] = Field(validation_alias="row_json", examples=[ROW])
    reason: OrNull[str]
    changes: list[str] = Field(examples=[["spaces@1"]])


class RowMappingReport(ResponseModel):
    """How rows become conversations: a layout, a column that holds one, or templates."""

    layout: OrNull[str] = Field(examples=[None])
    messages_column: OrNull[str] = Field(examples=[None])
    system_template: OrNull[str] = Field(examples=[None])
    user_template: OrNull[str] = Field(examples=["{word}: {gloss}"])
    answer_template: OrNull[str] = Field(examples=["{kind}"])
    rejected_template: OrNull[str] = Field(examples=[None])


class DatasetPreview(ResponseModel):
    """Preview: the first rows of a file as they would be in the dataset."""

    object: Literal["dataset.preview"] = "dataset.preview"
    columns: list[str] = Field(examples=[["word", "gloss", "kind"]])
    reading: dict[str, str] = Field(
        description="How the file is read: encoding, delimiter (CSV), text_unit (text),"
        " passage_tokens (documents).",
        examples=[{"encoding": "gb18030", "delimiter": ";"}],
    )
    mapping: RowMappingReport
    """The mapping that was asked for, or the one that is proposed."""
    data: list[PreviewedRow] = Field(validation_alias="rows")

    @classmethod
    def of_preview(cls, shown: PreviewDatasetResponse) -> Self:
        """The first rows of a file, as they would become."""
        reading = {field.name: str(value) for field, value in shown.reading.ListFields()}
        return cls.of(shown, reading=reading)


class RowProvenance(ResponseModel):
    """Provenance of a row."""

    line: int = Field(examples=[17])
    file_id: OrNull[FileId]
    source_sha256: str = Field(examples=["9f" * 32])
    outcome: Literal["kept", "dropped", "quarantined"]
    rule: OrNull[str]
    detail: OrNull[str]
    changes: list[str] = Field(examples=[["spaces@1"]])
    made_by: OrNull[str]
    split: OrNull[str] = Field(examples=["train"])
    position: int | None = Field(examples=[12])
    row: OrNull[Json[dict[str, Any]]] = Field(validation_alias="row_json", examples=[ROW])

    @classmethod
    def of_message(cls, entry: RowProvenanceMessage) -> Self:
        """What became of a row; it has a position where it is in a split."""
        return cls.of(entry, **({} if entry.split else {"position": None}))


class ExplainedRow(ResponseModel):
    """Provenance of a source row, and of every row made from it."""

    object: Literal["dataset.row"] = "dataset.row"
    dataset_id: DatasetId
    provenance: list[RowProvenance]


class DatasetDiff(ResponseModel):
    """Difference of two datasets, by the content of their rows."""

    object: Literal["dataset.diff"] = "dataset.diff"
    same: bool
    rows_common: int = Field(examples=[860])
    rows_moved: int = Field(examples=[3])
    rows_removed: int = Field(examples=[20])
    rows_added: int = Field(examples=[5])
    removed: list[Json[dict[str, Any]]]
    added: list[Json[dict[str, Any]]]
    spec_changes: list[str] = Field(examples=[["duplicates.near_threshold: nothing -> 0.8"]])
