"""Take a file out of use."""

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.ports import DataPrep


class DeleteFile:
    """The list of files is data-prep's, which answers once it knows of the deletion itself."""

    def __init__(self, files: DataPrep) -> None:
        self._files = files

    async def __call__(self, file_id: str, caller: Caller) -> None:
        """Delete it; datasets that were made from it stay, and its id is never used again.

        Raises:
            NotFoundError: unknown, deleted, or another tenant's.
            PreconditionError: jobs that have not ended need it; the message names them.
            UnavailableError: data-prep or the bus does not answer.
        """
        await self._files.delete_file(tenant=caller.tenant, file_id=file_id)
