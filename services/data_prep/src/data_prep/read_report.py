"""Use case: a dataset's report, as data or as a page."""

from pathlib import Path

from service_kit.errors import InvalidInputError

from data_prep.dataset_folders import DatasetFolders

FILE_OF = {"json": "report.json", "html": "report.html"}
"""By format, the file of the dataset that has it."""


class ReadReport:
    """Finds reports."""

    def __init__(self, folders: DatasetFolders) -> None:
        self._folders = folders

    async def __call__(self, *, tenant: str, dataset_id: str, report_format: str) -> Path:
        """The report's file, not to be changed.

        Raises:
            InvalidInputError: There is no such format.
            NotFoundError: No such dataset.
            UnavailableError: The bus or the store does not answer.
        """
        name = FILE_OF.get(report_format or "json")
        if name is None:
            raise InvalidInputError(
                f"format must be one of {', '.join(FILE_OF)}, got {report_format[:40]!r}"
            )
        folder = await self._folders.folder(tenant, dataset_id, needs=name)
        return folder / name
