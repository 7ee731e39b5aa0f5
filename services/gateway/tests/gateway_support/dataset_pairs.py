"""Comparisons of datasets behind the gateway, as a test says what comes of them."""

from collections import defaultdict
from typing import Any

from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill.data_prep.v1.data_prep_service_pb2_grpc import DataPrepServiceServicer
from modelmill_service_kit.errors import InvalidInputError, NotFoundError

LENGTHS = pb.LengthQuantiles(p5=4, p25=9, p50=14, p75=21, p95=38)


class FakeDatasetPairs(DataPrepServiceServicer):
    """Mixed into the fake of data-prep, which knows whose a dataset is."""

    def __init__(self) -> None:
        self.comparison = pb.CompareDatasetsResponse()
        """But for what is of the two datasets."""
        self.compared_specs: dict[str, str] = {}
        """As JSON, by dataset."""
        self.unshared: defaultdict[str, list[pb.UnsharedRow]] = defaultdict(list)
        """Rows that a dataset alone has."""
        self.unready: set[str] = set()
        """Datasets whose jobs have not succeeded."""

    async def CompareDatasets(
        self, request: pb.CompareDatasetsRequest, context: Any
    ) -> pb.CompareDatasetsResponse:
        ids = self._pair(request.tenant, request.dataset_id, request.other_dataset_id)
        found = pb.CompareDatasetsResponse()
        found.CopyFrom(self.comparison)
        for side, dataset_id in zip((found.first, found.second), ids, strict=True):
            made = pb.DatasetSide(
                dataset_id=dataset_id,
                name="words",
                digest=f"sha256:{dataset_id}",
                rows=80,
                rows_unshared=len(self.unshared[dataset_id]),
                tokens=LENGTHS,
                characters=LENGTHS,
                rows_measured=80,
                spec_json=self.compared_specs.get(dataset_id, "{}"),
            )
            side.MergeFrom(made)
        return found

    async def ListUnsharedRows(
        self, request: pb.ListUnsharedRowsRequest, context: Any
    ) -> pb.ListUnsharedRowsResponse:
        self._pair(request.tenant, request.dataset_id, request.other_dataset_id)
        rows = self.unshared[request.dataset_id]
        shown = rows[request.after : request.after + request.limit]
        has_more = request.after + len(shown) < len(rows)
        return pb.ListUnsharedRowsResponse(rows=shown, has_more=has_more)

    def _pair(self, tenant: str, *dataset_ids: str) -> tuple[str, ...]:
        for each in dataset_ids:
            if each in self.unready:
                raise NotFoundError(f"no dataset {each!r}")
            self._dataset(tenant, each)
        if len(set(dataset_ids)) == 1:
            raise InvalidInputError(f"dataset {dataset_ids[0]!r} was named twice")
        return dataset_ids

    def _dataset(self, tenant: str, dataset_id: str) -> None:
        raise NotImplementedError
