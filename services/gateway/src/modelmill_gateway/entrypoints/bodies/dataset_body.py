"""The body of a dataset: what it shall be, mirrored from `modelmill.data_prep.v1.DatasetSpec`.

Shapes are checked here, so that nothing unknown is ever ignored; names and limits are data-prep's
to know.
"""

from typing import Annotated

from google.protobuf.json_format import ParseDict
from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec
from pydantic import Field

from modelmill_gateway.entrypoints.schemas.parsing import PRIORITY_MEANING, Priority, StrictBody

UINT32 = 2**32
MAX_LISTED = 100
MAX_PREVIEWED = 100

Word = Annotated[str, Field(min_length=1, max_length=128)]
Words = Annotated[list[Word], Field(max_length=MAX_LISTED)]
NamedWords = Annotated[dict[Word, Word], Field(max_length=MAX_LISTED)]
NamedNumbers = Annotated[dict[Word, float], Field(max_length=MAX_LISTED)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(max_length=128)]


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
    """Shares of the splits, together 1."""

    train: Share
    valid: Share
    test: Share


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


class DatasetSpecBody(StrictBody):
    """What a dataset shall be."""

    file_id: Word
    name: Name = ""
    mapping: MappingBody
    shares: SharesBody | None = None
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

    def spec(self) -> DatasetSpec:
        """As data-prep takes it."""
        fields = self.model_dump(exclude_none=True, include=set(DatasetSpecBody.model_fields))
        return ParseDict(fields, DatasetSpec())


class DatasetBody(DatasetSpecBody):
    """Request body of POST /v1/datasets."""

    priority: Priority = Field("normal", description=PRIORITY_MEANING)


class PreviewBody(DatasetSpecBody):
    """Request body of POST /v1/datasets/preview."""

    rows: int = Field(10, ge=1, le=MAX_PREVIEWED, description="Number of rows to show.")
