"""Previews over gRPC: unpack, call the use case, pack."""

from typing import Any

import grpc
from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill.data_prep.v1 import data_prep_service_pb2_grpc as pb_grpc
from modelmill_bus.subjects import token

from modelmill_data_prep.preview_dataset import PreviewDataset

Context = grpc.aio.ServicerContext[Any, Any]


class PreviewRpcs(pb_grpc.DataPrepServiceServicer):
    """The RPC of previews; who mixes it in sets `_preview_dataset`."""

    _preview_dataset: PreviewDataset

    async def PreviewDataset(
        self, request: pb.PreviewDatasetRequest, context: Context
    ) -> pb.PreviewDatasetResponse:
        return await self._preview_dataset(
            tenant=token(request.tenant, "tenant"), spec=request.spec, rows=request.rows
        )
