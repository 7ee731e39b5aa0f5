"""Use case: the story of one row, from the source file to its place in a dataset."""

import asyncio
from pathlib import Path
from typing import Any

from modelmill.data_prep.v1.data_prep_service_pb2 import RowStory
from service_kit.errors import InvalidInputError, NotFoundError

from data_prep.dataset_folders import DatasetFolders
from data_prep.domain.lineage.story import STORIES_FILE, Stories


class ExplainRow:
    """Looks rows up by the line of the source file."""

    def __init__(self, folders: DatasetFolders) -> None:
        self._folders = folders

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
        stories = await asyncio.to_thread(_stories, folder, line)
        if not stories:
            raise NotFoundError(f"no row of dataset {dataset_id!r} begins on line {line}")
        return stories


def _stories(folder: Path, line: int) -> list[RowStory]:
    return [_story(folder, row) for row in Stories(folder / STORIES_FILE).of_line(line)]


def _story(folder: Path, row: dict[str, Any]) -> RowStory:
    story = RowStory(
        line=row["line"],
        source_sha256=row["source"].hex(),
        outcome=row["outcome"],
        rule=row["rule"] or "",
        detail=row["detail"] or "",
        changes=row["changes"],
        made_by=row["made_by"] or "",
    )
    if row["split"] is not None:
        story.split, story.position = row["split"], row["position"]
        with (folder / f"{row['split']}.jsonl").open("rb") as lines:
            lines.seek(row["offset"])
            story.row_json = lines.read(row["length"]).decode().removesuffix("\n")
    return story
