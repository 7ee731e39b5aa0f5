"""Use case: preview a spec on a file's first rows, without a job."""

from modelmill.data_prep.v1.data_prep_service_pb2 import (
    DatasetSpec,
    PreviewDatasetResponse,
    PreviewedRow,
    ReadingSpec,
    RowMapping,
)
from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.create_dataset import source_file_ids, spec_fields
from modelmill_data_prep.domain.dataset_plan import plan_dataset
from modelmill_data_prep.domain.mapping.propose_mapping import READ_ALONE
from modelmill_data_prep.file_inspector import FileInspector
from modelmill_data_prep.pseudonym_keys import PseudonymKeys
from modelmill_data_prep.records import FileRecords, file_format_of

DEFAULT_ROWS, MAX_ROWS = 10, 100


class PreviewDataset:
    """Previews per-row stages; duplicates and splits need all rows and are left out.

    Args:
        max_row_bytes: Same value as in the job, so that both see the same rows.
        models_unavailable: As in `CreateDataset`.
    """

    def __init__(
        self,
        files: FileRecords,
        inspector: FileInspector,
        pseudonym_keys: PseudonymKeys,
        *,
        max_row_bytes: int,
        models_unavailable: str = "",
    ) -> None:
        self._models_unavailable = models_unavailable
        self._files = files
        self._pseudonym_keys = pseudonym_keys
        self._inspector = inspector
        self._max_row_bytes = max_row_bytes

    async def __call__(
        self, *, tenant: str, spec: DatasetSpec, rows: int = 0
    ) -> PreviewDatasetResponse:
        """The first rows with their outcome; of several files those of the first. A spec without a
        mapping gets one by the names of the columns.

        Raises:
            NotFoundError: The file is unknown.
            InvalidInputError: Spec or file are invalid, or `rows` is above the limit.
        """
        if rows > MAX_ROWS:
            raise InvalidInputError(f"rows must be at most {MAX_ROWS}, got {rows}")
        file = await self._files.get(tenant, source_file_ids(spec)[0])
        fields = spec_fields(spec)
        plan_dataset(READ_ALONE | fields, models_unavailable=self._models_unavailable)
        shown = await self._inspector.preview(
            await self._files.content(file),
            file_format_of(file),
            spec=fields,
            rows=rows or DEFAULT_ROWS,
            max_row_bytes=self._max_row_bytes,
            pseudonym_key=self._pseudonym_keys.of(tenant),
            name=file.filename,
        )
        previewed = [PreviewedRow(**row) for row in shown["rows"]]
        reading = ReadingSpec(**shown["reading"])
        mapping = RowMapping(**shown["mapping"])
        return PreviewDatasetResponse(
            rows=previewed, columns=shown["columns"], reading=reading, mapping=mapping
        )
