"""Use case: compare the rows and specs of two datasets."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from modelmill.data_prep.v1.data_prep_service_pb2 import DiffDatasetsResponse
from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.dataset_folders import DatasetFolders
from modelmill_data_prep.domain.provenance_file import PROVENANCE_FILE

DEFAULT_SAMPLES = 10
MAX_SAMPLES = 100


class DatasetComparer(Protocol):
    async def compare(self, first: Path, second: Path, samples: int) -> dict[str, Any]:
        """As `modelmill_data_prep.previews.dataset_difference`."""
        ...


class DiffDatasets:
    """Compares datasets by row content and by spec."""

    def __init__(self, folders: DatasetFolders, inspector: DatasetComparer) -> None:
        self._folders = folders
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
        ids = (dataset_id, other_dataset_id)
        first, second = [
            await self._folders.folder(tenant, each, needs=PROVENANCE_FILE) for each in ids
        ]
        found = await self._inspector.compare(first, second, samples or DEFAULT_SAMPLES)
        old, new = [(await self._folders.manifest(tenant, each)).attributes for each in ids]
        return DiffDatasetsResponse(
            same=old.get("merkle_root") == new.get("merkle_root"),
            **found,
            spec_changes=list(_spec_changes(old.get("spec", {}), new.get("spec", {}))),
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
