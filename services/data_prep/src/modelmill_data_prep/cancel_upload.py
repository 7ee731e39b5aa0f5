"""Use case: an upload is ended without a file."""

import time
from collections.abc import Callable

from modelmill.data_prep.v1.data_prep_service_pb2 import Upload

from modelmill_data_prep.uploads import CANCELLED, UploadShelf, pending_upload


class CancelUpload:
    """Ends uploads.

    Args:
        now: The time in Unix seconds.
    """

    def __init__(self, shelf: UploadShelf, *, now: Callable[[], float] = time.time) -> None:
        self._shelf = shelf
        self._now = now

    async def __call__(self, *, tenant: str, upload_id: str) -> Upload:
        """The upload as it is now; its parts are gone.

        Raises:
            NotFoundError: No such upload, or it is over.
        """
        upload = await pending_upload(self._shelf, tenant, upload_id, self._now())
        upload.status = CANCELLED
        await self._shelf.put(upload)
        await self._shelf.drop_parts(upload_id)
        return upload
