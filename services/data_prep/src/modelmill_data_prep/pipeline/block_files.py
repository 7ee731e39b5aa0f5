"""Arrow files with one batch per block, accessed by block number."""

from pathlib import Path
from types import TracebackType

import pyarrow as pa


class BlockFileWriter:
    """Appends batches of one schema.

    Args:
        compression: Arrow codec of the buffers; None for files that are read soon and removed.
    """

    def __init__(self, path: Path, schema: pa.Schema, compression: str | None = None) -> None:
        self._file = pa.OSFile(str(path), "wb")
        options = pa.ipc.IpcWriteOptions(compression=compression)
        self._writer = pa.ipc.new_file(self._file, schema, options=options)

    def write(self, batch: pa.RecordBatch) -> None:
        """Append a block, which may be empty."""
        self._writer.write_batch(batch)

    def __enter__(self) -> "BlockFileWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()
        self._file.close()


class BlockFile:
    """Reads single blocks on demand."""

    def __init__(self, path: Path) -> None:
        # Not memory-mapped: touched pages would count as this process' memory.
        self._reader = pa.ipc.open_file(pa.OSFile(str(path), "rb"))

    def __len__(self) -> int:
        blocks: int = self._reader.num_record_batches
        return blocks

    def __getitem__(self, block: int) -> pa.RecordBatch:
        return self._reader.get_batch(block)
