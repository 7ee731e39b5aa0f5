"""Use case: explain a row's provenance, from source line to place in a dataset."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from modelmill.data_prep.v1.data_prep_service_pb2 import RowStory
from modelmill_service_kit.errors import InvalidInputError, NotFoundError

from modelmill_data_prep.dataset_folders import DatasetFolders
from modelmill_data_prep.domain.provenance_file import PROVENANCE_FILE


class ProvenanceReader(Protocol):
    async def provenance(self, folder: Path, line: int) -> Sequence[dict[str, Any]]:
        """As `modelmill_data_prep.previews.line_provenance`."""
        ...


class ExplainRow:
    """Looks rows up by the line of the source file."""

    def __init__(self, folders: DatasetFolders, inspector: ProvenanceReader) -> None:
        self._folders = folders
        self._inspector = inspector

    async def __call__(self, *, tenant: str, dataset_id: str, line: int) -> list[RowStory]:
        """The row itself, then every row derived from it.

        Raises:
            InvalidInputError: The line is below 1.
            NotFoundError: The dataset is unknown, or no row begins on that line.
            UnavailableError: The bus or the store does not answer.
        """
        if line < 1:
            raise InvalidInputError("line must be at least 1")
        folder = await self._folders.folder(tenant, dataset_id, needs=PROVENANCE_FILE)
        stories = await self._inspector.provenance(folder, line)
        if not stories:
            raise NotFoundError(
                f"no row of dataset {dataset_id!r} begins on line {line}. Lines are those of the"
                " source file, from 1; a row may be several"
            )
        return [RowStory(**story) for story in stories]
