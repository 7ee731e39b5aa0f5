"""An inference service whose one model finds the words that it is told to, on a socket."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from modelmill.inference.v1 import inference_service_pb2 as pb
from modelmill.inference.v1.inference_service_pb2_grpc import (
    InferenceServiceServicer,
    add_InferenceServiceServicer_to_server,
)
from modelmill_service_kit.errors import NotFoundError
from modelmill_service_kit.grpc_server import RpcServer
from modelmill_testkit.service_process import SECRET

ALIAS = "safety"
SURE = 0.9
"""Share of the label that the text is of; the others have the rest between them."""


@dataclass
class Classifier(InferenceServiceServicer):
    """Finds the first label, but "safe", that stands in the text; without one the text is safe."""

    aliases: set[tuple[str, str]] = field(default_factory=lambda: {("acme", ALIAS)})
    """Tenants and names."""
    error: Exception | None = None
    """Raised in place of an answer."""
    hangs: bool = False
    version: str = "mv-1"
    """Behind the alias."""
    answer: pb.ScoreResponse | None = None
    """Given in place of a right one."""
    requests: list[pb.ScoreRequest] = field(default_factory=list)

    async def Score(self, request: pb.ScoreRequest, context: Any) -> pb.ScoreResponse:
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        if self.hangs:
            await asyncio.Event().wait()
        if (request.tenant, request.model) not in self.aliases:
            raise NotFoundError(f"no model {request.model}")
        return self.answer or scored(
            list(request.continuations), self._label(request), self.version
        )

    def _label(self, request: pb.ScoreRequest) -> str:
        text = request.conversation.messages[-1].content
        labels = [label for label in request.continuations if label != "safe"]
        return next((label for label in labels if label in text), "safe")

    @property
    def texts(self) -> list[str]:
        """That were asked about."""
        return [request.conversation.messages[-1].content for request in self.requests]


def scored(labels: list[str], found: str, version: str) -> pb.ScoreResponse:
    """An answer that is sure of one label; a sum of log-likelihoods, far below zero."""
    rest = (1 - SURE) / max(len(labels) - 1, 1)
    shares = [SURE if label == found else rest for label in labels]
    return pb.ScoreResponse(
        scores=[pb.ContinuationScore(log_likelihood=math.log(share) - 40) for share in shares],
        version_id=version,
    )


@asynccontextmanager
async def serving_classifier(classifier: Classifier) -> AsyncIterator[str]:
    """Its address."""
    server = RpcServer("127.0.0.1:0", SECRET, drain_seconds=0)
    add_InferenceServiceServicer_to_server(classifier, server.grpc)
    async with server:
        yield f"127.0.0.1:{server.port}"
