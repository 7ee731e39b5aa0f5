"""Files and the datasets that are made of them."""

import os
from collections.abc import AsyncIterator
from typing import Any, Literal, Unpack, cast

from modelmill_client import types
from modelmill_client._async.transport import AsyncResource
from modelmill_client.wire import PAGE, Content, path_of

Purpose = Literal["fine-tune", "batch", "evals", "user_data"]


class AsyncFiles(AsyncResource):
    """/v1/files."""

    async def upload(
        self,
        content: Content,
        *,
        purpose: Purpose = "fine-tune",
        name: str | None = None,
        expires_after_seconds: int | None = None,
    ) -> types.File:
        """Send a file, read from the disk while it is sent.

        Args:
            content: a path, bytes or an open file.
            name: what the file is called, where that is not its own name.
            expires_after_seconds: until it is deleted by itself; None for never.

        Raises:
            OSError: a path that cannot be read.
        """
        fields: dict[str, str] = {"purpose": purpose}
        if expires_after_seconds is not None:
            fields |= {"expires_after[anchor]": "created_at"}
            fields |= {"expires_after[seconds]": str(expires_after_seconds)}
        sent = await self._transport.upload("/v1/files", "file", content, name, **fields)
        return cast(types.File, sent)

    def list(
        self,
        *,
        purpose: Purpose | None = None,
        order: Literal["asc", "desc"] | None = None,
        after: str | None = None,
        page_size: int = PAGE,
    ) -> AsyncIterator[types.File]:
        """Every file, newest first, fetched page by page as it is read."""
        return self._transport.each(
            "/v1/files", purpose=purpose, order=order, after=after, page_size=page_size
        )

    async def retrieve(self, file_id: str) -> types.File:
        """A file's record."""
        return cast(types.File, await self._transport.call("GET", path_of("files", file_id)))

    async def content(self, file_id: str) -> bytes:
        """What is in a file, in memory."""
        return await self._transport.content(path_of("files", file_id, "content"))

    async def download(self, file_id: str, target: str | os.PathLike[str]) -> None:
        """Write what is in a file to the disk, whole or not at all."""
        await self._transport.download(path_of("files", file_id, "content"), target)

    async def delete(self, file_id: str) -> types.Deleted:
        """Delete a file."""
        return cast(types.Deleted, await self._transport.call("DELETE", path_of("files", file_id)))


class AsyncUploads(AsyncResource):
    """/v1/uploads: a file in parts."""

    async def create(self, **body: Unpack[types.UploadBody]) -> types.Upload:
        """Begin an upload."""
        return cast(types.Upload, await self._transport.call("POST", "/v1/uploads", json=body))

    async def add_part(self, upload_id: str, content: Content) -> types.UploadPart:
        """Send a part; parts may be sent at once."""
        path = path_of("uploads", upload_id, "parts")
        sent = await self._transport.upload(path, "data", content, None)
        return cast(types.UploadPart, sent)

    async def complete(
        self, upload_id: str, **body: Unpack[types.CompleteUploadBody]
    ) -> types.Upload:
        """Join the parts, in the order of their ids, to a file."""
        path = path_of("uploads", upload_id, "complete")
        return cast(types.Upload, await self._transport.call("POST", path, json=body))

    async def cancel(self, upload_id: str) -> types.Upload:
        """Cancel an upload; its parts are deleted."""
        path = path_of("uploads", upload_id, "cancel")
        return cast(types.Upload, await self._transport.call("POST", path))


class AsyncDatasets(AsyncResource):
    """/v1/datasets."""

    async def create(
        self, *, idempotency_key: str | None = None, **body: Unpack[types.DatasetBody]
    ) -> types.AcceptedDataset:
        """Order a dataset made of a file; a call repeated with the same key gives the same one."""
        made = await self._transport.call(
            "POST", "/v1/datasets", json=body, idempotency_key=idempotency_key
        )
        return cast(types.AcceptedDataset, made)

    async def preview(self, **body: Unpack[types.PreviewBody]) -> types.DatasetPreview:
        """What would become of a file's first rows."""
        shown = await self._transport.call(
            "POST", "/v1/datasets/preview", json=body, may_repeat=True
        )
        return cast(types.DatasetPreview, shown)

    def list(
        self, *, after: str | None = None, page_size: int = PAGE
    ) -> AsyncIterator[types.Dataset]:
        """Every dataset that is ready, fetched page by page as it is read."""
        return self._transport.each("/v1/datasets", after=after, page_size=page_size)

    async def retrieve(self, dataset_id: str) -> types.Dataset:
        """A dataset that is ready."""
        found = await self._transport.call("GET", path_of("datasets", dataset_id))
        return cast(types.Dataset, found)

    async def delete(self, dataset_id: str) -> types.Deleted:
        """Delete a dataset."""
        gone = await self._transport.call("DELETE", path_of("datasets", dataset_id))
        return cast(types.Deleted, gone)

    async def row(
        self, dataset_id: str, line: int, *, file_id: str | None = None
    ) -> types.ExplainedRow:
        """The provenance of a row: what became of it, and why. Of a dataset of several files give
        the line's file, too; or the row's number, as the dataset has it, as line."""
        path = path_of("datasets", dataset_id, "rows", line)
        params = {"file_id": file_id} if file_id is not None else None
        found = await self._transport.call("GET", path, params=params)
        return cast(types.ExplainedRow, found)

    async def diff(
        self, dataset_id: str, other_dataset_id: str, *, samples: int | None = None
    ) -> types.DatasetDiff:
        """What differs between two datasets, with up to `samples` rows of each."""
        path = path_of("datasets", dataset_id, "diff", other_dataset_id)
        params = {"samples": samples} if samples is not None else None
        return cast(types.DatasetDiff, await self._transport.call("GET", path, params=params))

    async def compare(self, dataset_id: str, other_dataset_id: str) -> types.DatasetComparison:
        """Two datasets side by side: rows, lengths, labels, removed rows and settings."""
        path = path_of("datasets", dataset_id, "comparison", other_dataset_id)
        return cast(types.DatasetComparison, await self._transport.call("GET", path))

    def unshared_rows(
        self,
        dataset_id: str,
        other_dataset_id: str,
        *,
        after: str | None = None,
        page_size: int = PAGE,
    ) -> AsyncIterator[types.UnsharedRow]:
        """Rows of a dataset that the other does not have, fetched page by page as it is read."""
        path = path_of("datasets", dataset_id, "comparison", other_dataset_id, "rows")
        return self._transport.each(path, after=after, page_size=page_size)

    async def report(self, dataset_id: str) -> dict[str, Any]:
        """The report of a dataset."""
        path = path_of("datasets", dataset_id, "report")
        return cast(dict[str, Any], await self._transport.call("GET", path))

    async def download_report(
        self,
        dataset_id: str,
        target: str | os.PathLike[str],
        *,
        format: Literal["json", "html"] = "html",
    ) -> None:
        """Write the report to the disk, whole or not at all."""
        path = path_of("datasets", dataset_id, "report")
        await self._transport.download(path, target, format=format)
