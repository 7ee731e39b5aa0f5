"""A dataset's rows as plain files, as cleaned and split: JSON lines or Parquet."""

import json
import shutil
from pathlib import Path
from typing import Any

from modelmill_registry.materialised import in_use
from modelmill_registry.store import ArtifactStore
from modelmill_service_kit.errors import PreconditionError

SPLITS = ("train", "valid", "test")


def export_dataset(store: ArtifactStore, digest: str, target: Path, *, as_parquet: bool) -> None:
    """Write a file for each split into a new folder; whole or not at all.

    Raises:
        PreconditionError: The folder is there already, what writes Parquet is not installed, or
            rows differ in form.
        NotFoundError: The artifact is not on this machine.
    """
    if target.exists():
        raise PreconditionError(f"{target} is there already. Give another folder")
    partial = target.with_name(f"{target.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    folder = store.materialise(digest)
    try:
        partial.mkdir(parents=True)
        with in_use(folder):
            for split in SPLITS:
                rows = folder / f"{split}.jsonl"
                if as_parquet:
                    _write_parquet(rows, partial / f"{split}.parquet")
                else:
                    shutil.copyfile(rows, partial / rows.name)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_parquet(rows: Path, file: Path) -> None:
    """Write a split, which is held in memory; pyarrow's own reader of JSON limits the row size."""
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        raise PreconditionError(
            "Parquet needs pyarrow. Add it: pip install 'modelmill[train]', or export jsonl"
        ) from error
    columns: dict[str, list[Any]] = {}
    with rows.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            row = json.loads(line)
            for name in row.keys() - columns.keys():
                columns[name] = [None] * number
            for name, values in columns.items():
                values.append(row.get(name))
    try:
        table = pa.table(columns)
    except pa.ArrowInvalid as error:
        raise PreconditionError(
            f"the rows of {rows.name} do not fit into one table: {error}. Export jsonl"
        ) from error
    pyarrow.parquet.write_table(table, file)
