"""Use case: the story of one row, from the source file to its place in a dataset."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from modelmill.data_prep.v1.data_prep_service_pb2 import RowStory
from modelmill_service_kit.errors import InvalidInputError, NotFoundError

from modelmill_data_prep.dataset_folders import DatasetFolders
from modelmill_data_prep.domain.stories_file import STORIES_FILE


class StoryLooks(Protocol):
    async def stories(self, folder: Path, line: int) -> Sequence[dict[str, Any]]:
        """As `modelmill_data_prep.previews.row_stories`."""
        ...


class ExplainRow:
    """Looks rows up by the line of the source file."""

    def __init__(self, folders: DatasetFolders, looks: StoryLooks) -> None:
        self._folders = folders
        self._looks = looks

    async def __call__(self, *, tenant: str, dataset_id: str, line: int) -> list[RowStory]:
        """The row as given first, then every row that was made from it.

        Raises:
            InvalidInputError: Lines count from 1.
            NotFoundError: No such dataset, or no row begins on that line.
            UnavailableError: The bus or the store does not answer.
        """
        if line < 1:
            raise InvalidInputError("line must be at least 1: lines of the source file count so")
        folder = await self._folders.folder(tenant, dataset_id, needs=STORIES_FILE)
        stories = await self._looks.stories(folder, line)
        if not stories:
            raise NotFoundError(
                f"no row of dataset {dataset_id!r} begins on line {line}. Lines are those of the"
                " source file, from 1; a row may be several"
            )
        return [RowStory(**story) for story in stories]
