"""A dataset's rows as plain files, as cleaned and split: JSON lines or Parquet."""

import shutil
from pathlib import Path

from modelmill_registry.materialised import in_use
from modelmill_registry.store import ArtifactStore
from modelmill_service_kit.errors import PreconditionError

SPLITS = ("train", "valid", "test")
BLOCK_BYTES = 64 << 20
"""A row that is longer cannot become Parquet."""


def export_dataset(store: ArtifactStore, digest: str, target: Path, *, as_parquet: bool) -> None:
    """Write a file for each split into a new folder; whole or not at all.

    Raises:
        PreconditionError: The folder is there already, or what writes Parquet is not installed.
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
    try:
        import pyarrow as pa
        import pyarrow.json
        import pyarrow.parquet
    except ImportError as error:
        raise PreconditionError(
            "Parquet needs pyarrow. Add it: pip install 'modelmill[train]', or export jsonl"
        ) from error
    if rows.stat().st_size == 0:
        table = pa.table({})
    else:
        reading = pyarrow.json.ReadOptions(block_size=BLOCK_BYTES)
        table = pyarrow.json.read_json(rows, read_options=reading)
    pyarrow.parquet.write_table(table, file)
