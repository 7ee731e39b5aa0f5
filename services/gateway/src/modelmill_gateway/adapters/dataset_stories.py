"""What data-prep tells about the rows of a dataset."""

from collections.abc import AsyncIterator, Sequence

import grpc
from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill.data_prep.v1.data_prep_service_pb2_grpc import DataPrepServiceStub
from modelmill_service_kit.grpc_client import domain_errors

from modelmill_gateway.adapters.data_prep import PEER, TRANSFER_SECONDS

CALL_SECONDS = 60.0
"""A dataset may have to be fetched first."""


class GrpcDatasetStories:
    """Data-prep behind its gRPC port."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = DataPrepServiceStub(channel)

    async def explain_row(
        self, *, tenant: str, dataset_id: str, line: int
    ) -> Sequence[pb.RowStory]:
        """What became of a source row. Raises NotFoundError."""
        request = pb.ExplainRowRequest(tenant=tenant, dataset_id=dataset_id, line=line)
        with domain_errors(PEER):
            return (await self._stub.ExplainRow(request, timeout=CALL_SECONDS)).stories

    async def diff_datasets(
        self, *, tenant: str, dataset_id: str, other_dataset_id: str, samples: int
    ) -> pb.DiffDatasetsResponse:
        """What two datasets do not have in common. Raises NotFoundError."""
        request = pb.DiffDatasetsRequest(
            tenant=tenant, dataset_id=dataset_id, other_dataset_id=other_dataset_id, samples=samples
        )
        with domain_errors(PEER):
            return await self._stub.DiffDatasets(request, timeout=CALL_SECONDS)

    async def report(
        self, *, tenant: str, dataset_id: str, report_format: str, job_id: str
    ) -> AsyncIterator[bytes]:
        """The report's bytes as they come, of a failed dataset its job's.

        Raises NotFoundError on the first step.
        """
        request = pb.DownloadReportRequest(
            tenant=tenant, dataset_id=dataset_id, format=report_format, job_id=job_id
        )
        rpc = self._stub.DownloadReport(request, timeout=TRANSFER_SECONDS)
        try:
            with domain_errors(PEER):
                async for response in rpc:
                    yield response.chunk
        finally:
            rpc.cancel()
