"""Datasets side by side: rows, lengths, labels, removed rows and settings."""

import json
from collections.abc import Iterable
from typing import Any, Literal, Self

from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from pydantic import Field, Json

from modelmill_gateway.domain.job_differences import setting_rows
from modelmill_gateway.entrypoints.schemas.base import (
    ROW_ID,
    DatasetId,
    Digest,
    OrNull,
    ResponseModel,
)
from modelmill_gateway.entrypoints.schemas.datasets import ROW
from modelmill_gateway.entrypoints.schemas.job_comparison import ComparedSetting


class LengthQuantiles(ResponseModel):
    """Lengths that 5, 25, 50, 75 and 95 percent of the rows do not exceed."""

    p5: int = Field(examples=[4])
    p25: int = Field(examples=[9])
    p50: int = Field(examples=[14])
    p75: int = Field(examples=[21])
    p95: int = Field(examples=[38])


class DatasetSide(ResponseModel):
    """One of two datasets. Of more than 20,000 rows, a random sample is measured for quantiles."""

    id: DatasetId = Field(validation_alias="dataset_id")
    name: OrNull[str] = Field(examples=["kinds"])
    digest: Digest
    rows: int = Field(examples=[880])
    rows_unshared: int = Field(
        description="Rows that the other dataset does not have.", examples=[20]
    )
    tokens: LengthQuantiles = Field(
        description="Words and marks of a row; a Han character is one. No system messages."
    )
    characters: LengthQuantiles
    rows_measured: int = Field(examples=[880])


class ComparedCount(ResponseModel):
    """A count of the first and the second dataset."""

    name: str = Field(examples=["plant"])
    values: list[int] = Field(examples=[[120, 80]])

    @classmethod
    def of_counts(cls, counts: Iterable[pb.ComparedCount]) -> list[Self]:
        """Counts in their order."""
        return [cls(name=each.name, values=[each.first, each.second]) for each in counts]


class DatasetComparison(ResponseModel):
    """Two datasets side by side. Rows are the same when their content is; one that is there twice
    counts twice. Values are of the first and the second. The source row of a row that one alone has
    may be absent (not in the other's files), changed (kept with other content), or removed by a
    rule. Or the row is made (by augmentation), or repeated (the other has it fewer times).
    """

    object: Literal["dataset.comparison"] = "dataset.comparison"
    same: bool = Field(description="Whether both have the same rows in the same order.")
    rows_common: int = Field(examples=[860])
    rows_moved: int = Field(
        description="Common rows that are in another split of the second.", examples=[3]
    )
    datasets: list[DatasetSide]
    counts: list[ComparedCount]
    unshared: list[ComparedCount] = Field(
        description="Rows of one alone, by what the other made of their source rows."
    )
    removed: list[ComparedCount] = Field(description="Removed rows by outcome and rule.")
    languages: list[ComparedCount]
    labels: list[ComparedCount] = Field(
        description="Rows by answer, where both datasets choose among few."
    )
    entities: list[ComparedCount] = Field(description="Entities by type and action.")
    settings: list[ComparedSetting]

    @classmethod
    def of_comparison(cls, found: pb.CompareDatasetsResponse) -> Self:
        """As data-prep has it; settings that differ come first."""
        sides = (found.first, found.second)
        names = ("counts", "unshared", "removed", "languages", "labels", "entities")
        return cls(
            same=found.same,
            rows_common=found.rows_common,
            rows_moved=found.rows_moved,
            datasets=[DatasetSide.of(side) for side in sides],
            **{name: ComparedCount.of_counts(getattr(found, name)) for name in names},
            settings=[
                ComparedSetting(path=row.path, differs=row.differs, values=list(row.values))
                for row in setting_rows([json.loads(side.spec_json or "{}") for side in sides])
            ],
        )


class UnsharedRow(ResponseModel):
    """Row that the other dataset does not have. `other_row` is what it has of the same source row,
    null where it has nothing.
    """

    id: str = Field(examples=["row-17"])
    object: Literal["dataset.unshared_row"] = "dataset.unshared_row"
    because: str = Field(
        description="What the other dataset made of its source row, as in `unshared`.",
        examples=["dropped filter.characters.min"],
    )
    row: Json[dict[str, Any]] = Field(validation_alias="row_json", examples=[ROW])
    other_row: OrNull[Json[dict[str, Any]]] = Field(
        validation_alias="other_row_json", examples=[ROW]
    )

    @classmethod
    def of_row(cls, row: pb.UnsharedRow) -> Self:
        """A row as data-prep has it."""
        return cls.of(row, id=f"{ROW_ID}{row.number}")
