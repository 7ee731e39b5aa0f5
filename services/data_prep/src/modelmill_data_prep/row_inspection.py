"""What is seen of a dataset's rows in its files. Runs in a child process."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from modelmill_data_prep.domain.lineage.difference import KeptRow, difference
from modelmill_data_prep.domain.lineage.row_provenance import Stories
from modelmill_data_prep.domain.stories_file import STORIES_FILE

SHOWN_BYTES = 2 * 1024 * 1024
"""Of all rows of one kind that are shown together; they must fit in one message."""


def row_stories(folder: Path, line: int) -> list[dict[str, Any]]:
    """The stories of a source line, as fields of `modelmill.data_prep.v1.RowStory`.

    Args:
        folder: Of the dataset.
        line: From 1.
    """
    return [_story(folder, row) for row in Stories(folder / STORIES_FILE).of_line(line)]


def dataset_difference(first: Path, second: Path, samples: int) -> dict[str, Any]:
    """What two datasets do not have in common, as fields of `DiffDatasetsResponse`."""
    old, new = Stories(first / STORIES_FILE), Stories(second / STORIES_FILE)
    found = difference(old.batches(), new.batches(), samples=samples)
    return {
        "rows_common": found.common,
        "rows_moved": found.moved,
        "rows_removed": found.removed,
        "rows_added": found.added,
        "removed": _rows(first, found.removed_samples),
        "added": _rows(second, found.added_samples),
    }


def _story(folder: Path, row: Mapping[str, Any]) -> dict[str, Any]:
    story: dict[str, Any] = {
        "line": row["line"],
        "source_sha256": row["source"].hex(),
        "outcome": row["outcome"],
        "rule": row["rule"] or "",
        "detail": row["detail"] or "",
        "changes": row["changes"],
        "made_by": row["made_by"] or "",
    }
    if row["split"] is not None:
        written = KeptRow(row["split"], row["offset"], row["length"])
        story |= {"split": row["split"], "position": row["position"]}
        story["row_json"] = _row(folder, written)
    return story


def _rows(folder: Path, rows: Iterable[KeptRow]) -> list[str]:
    """As many of the rows as fit in `SHOWN_BYTES`, and at least one."""
    shown: list[str] = []
    size = 0
    for row in rows:
        size += row.length
        if shown and size > SHOWN_BYTES:
            break
        shown.append(_row(folder, row))
    return shown


def _row(folder: Path, row: KeptRow) -> str:
    with (folder / f"{row.split}.jsonl").open("rb") as lines:
        lines.seek(row.offset)
        return lines.read(row.length).decode().removesuffix("\n")
