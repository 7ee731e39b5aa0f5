"""Blocks on disk between the passes: each block is one batch of a file, found by its number."""

from pathlib import Path
from types import TracebackType

import pyarrow as pa


class PartWriter:
    """Appends batches of one schema."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._file, schema)

    def write(self, batch: pa.RecordBatch) -> None:
        """One more block, also when it has no rows."""
        self._writer.write_batch(batch)

    def __enter__(self) -> "PartWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()
        self._file.close()


class PartFile:
    """Reads them back; a block is in memory only as long as it is used."""

    def __init__(self, path: Path) -> None:
        # Read, not mapped: mapped pages would count as this process's own until all is done.
        self._reader = pa.ipc.open_file(pa.OSFile(str(path), "rb"))

    def __len__(self) -> int:
        blocks: int = self._reader.num_record_batches
        return blocks

    def __getitem__(self, block: int) -> pa.RecordBatch:
        return self._reader.get_batch(block)
