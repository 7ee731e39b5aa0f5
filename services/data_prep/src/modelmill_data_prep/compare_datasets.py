"""Use cases that compare two datasets: side by side, by counts with samples, and row by row."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import ParseDict
from modelmill.data_prep.v1.data_prep_service_pb2 import (
    CompareDatasetsResponse,
    DiffDatasetsResponse,
    ListUnsharedRowsResponse,
)
from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.domain.provenance_file import PROVENANCE_FILE
from modelmill_data_prep.file_inspector import ComparedPair, FileInspector
from modelmill_data_prep.records import DatasetRecords

DEFAULT_SAMPLES = 10
MAX_SAMPLES = 100
DEFAULT_LIMIT, MAX_LIMIT = 20, 100


@dataclass(frozen=True)
class FoundPair:
    """Two datasets of a tenant."""

    records: tuple[DatasetReady, DatasetReady]
    attributes: tuple[Mapping[str, Any], Mapping[str, Any]]
    """Of their manifests."""
    compared: ComparedPair

    @property
    def are_same(self) -> bool:
        """Whether they have the same rows in the same order."""
        first, second = (each.get("merkle_root") for each in self.attributes)
        return first is not None and first == second

    @property
    def specs(self) -> list[Mapping[str, Any]]:
        """Specs of both."""
        return [each.get("spec", {}) for each in self.attributes]


class FindPair:
    """Looks up two datasets and their files."""

    def __init__(self, datasets: DatasetRecords) -> None:
        self._datasets = datasets

    async def __call__(
        self, tenant: str, dataset_id: str, other_dataset_id: str, *, may_be_one: bool = False
    ) -> FoundPair:
        """The datasets of these ids.

        Args:
            may_be_one: Whether they may be the same.

        Raises:
            InvalidInputError: They are the same.
            NotFoundError: One of them is unknown.
            UnavailableError: The bus or the store does not answer.
        """
        first, second = [
            await self._datasets.get(tenant, each) for each in (dataset_id, other_dataset_id)
        ]
        if dataset_id == other_dataset_id and not may_be_one:
            raise InvalidInputError(
                f"dataset {dataset_id!r} was named twice. Name two datasets to compare"
            )
        folders = [
            await self._datasets.folder(tenant, each.dataset_id, needs=PROVENANCE_FILE)
            for each in (first, second)
        ]
        attributes = [
            (await self._datasets.manifest(tenant, each.dataset_id)).attributes
            for each in (first, second)
        ]
        pair = ComparedPair(tenant, ((first.digest, folders[0]), (second.digest, folders[1])))
        return FoundPair((first, second), (attributes[0], attributes[1]), pair)


class CompareDatasets:
    """Shows two datasets side by side."""

    def __init__(self, find_pair: FindPair, inspector: FileInspector) -> None:
        self._find_pair = find_pair
        self._inspector = inspector

    async def __call__(
        self, *, tenant: str, dataset_id: str, other_dataset_id: str
    ) -> CompareDatasetsResponse:
        """Rows, lengths, labels, removed rows and specs of both; raises as `FindPair`."""
        pair = await self._find_pair(tenant, dataset_id, other_dataset_id)
        found = await self._inspector.compare("comparison", pair.compared)
        shown = ParseDict(found, CompareDatasetsResponse(same=pair.are_same))
        for side, record, spec in zip(
            (shown.first, shown.second), pair.records, pair.specs, strict=True
        ):
            side.dataset_id, side.name = record.dataset_id, record.name
            side.spec_json = json.dumps(spec, ensure_ascii=False)
        return shown


class ListUnsharedRows:
    """Lists rows of a dataset that another one does not have."""

    def __init__(self, find_pair: FindPair, inspector: FileInspector) -> None:
        self._find_pair = find_pair
        self._inspector = inspector

    async def __call__(
        self, *, tenant: str, dataset_id: str, other_dataset_id: str, after: int, limit: int
    ) -> ListUnsharedRowsResponse:
        """A page of rows behind number `after`.

        Raises:
            InvalidInputError: As `FindPair`, or the page is too long.
        """
        if limit > MAX_LIMIT:
            raise InvalidInputError(f"limit must be at most {MAX_LIMIT}")
        pair = await self._find_pair(tenant, dataset_id, other_dataset_id)
        found = await self._inspector.compare(
            "unshared", pair.compared, after=after, limit=limit or DEFAULT_LIMIT
        )
        return ParseDict(found, ListUnsharedRowsResponse())


class DiffDatasets:
    """Compares datasets by row content and by spec."""

    def __init__(self, find_pair: FindPair, inspector: FileInspector) -> None:
        self._find_pair = find_pair
        self._inspector = inspector

    async def __call__(
        self, *, tenant: str, dataset_id: str, other_dataset_id: str, samples: int
    ) -> DiffDatasetsResponse:
        """Differences, with sample rows of each kind.

        Raises:
            InvalidInputError: Too many samples.
            NotFoundError: One of them is unknown.
            UnavailableError: The bus or the store does not answer.
        """
        if samples > MAX_SAMPLES:
            raise InvalidInputError(f"samples must be at most {MAX_SAMPLES}")
        pair = await self._find_pair(tenant, dataset_id, other_dataset_id, may_be_one=True)
        found = await self._inspector.compare(
            "difference", pair.compared, samples=samples or DEFAULT_SAMPLES
        )
        old, new = pair.specs
        return DiffDatasetsResponse(
            same=pair.are_same, **found, spec_changes=list(_spec_changes(old, new))
        )


def _spec_changes(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _spec_changes(before, after, f"{path}{name}.")
        elif before != after:
            yield f"{path}{name}: {_shown(before)} -> {_shown(after)}"


def _shown(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)
