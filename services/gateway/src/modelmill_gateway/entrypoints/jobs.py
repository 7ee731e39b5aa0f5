"""Jobs of kind batch: unpack, call the use case, pack. No rules live here."""

import time
from contextlib import nullcontext
from typing import Any

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from modelmill.gateway.v1.gateway_jobs_pb2 import BatchSpec, EvalRunSpec
from modelmill.jobs.v1.job_pb2 import JobRequested, JobResult
from modelmill_bus.kinds import BATCH
from modelmill_jobs.active import ActiveJob
from modelmill_service_kit.errors import TooLargeError

from modelmill_gateway.answers.answer_chat import AnswerChat
from modelmill_gateway.answers.embed_texts import EmbedTexts
from modelmill_gateway.batches.answer_batch import AnswerBatch
from modelmill_gateway.batches.answer_many import BatchResponse
from modelmill_gateway.domain.access import CHAT, Caller
from modelmill_gateway.domain.request_context import RequestContext, RequestIds, RequestsInHand
from modelmill_gateway.entrypoints.access_log import log_access
from modelmill_gateway.entrypoints.http.chat import ChatRoute, CompletionRoute
from modelmill_gateway.entrypoints.http.embeddings import EmbeddingRoute
from modelmill_gateway.entrypoints.http.errors import (
    error_fields,
    http_status,
    refusal_in,
    retry_after,
)
from modelmill_gateway.entrypoints.http.responses import ResponsesRoute
from modelmill_gateway.entrypoints.http.text_replies import JsonRoute
from modelmill_gateway.evals.run_eval import RunEval

OK = 200


class BatchRequests:
    """In-process client for requests of batches: the same parsing and use cases as over HTTP.

    Args:
        max_bytes: that a request may have, as over HTTP.
    """

    def __init__(
        self,
        answer_chat: AnswerChat,
        embed_texts: EmbedTexts,
        in_hand: RequestsInHand,
        request_ids: RequestIds,
        max_bytes: int,
    ) -> None:
        self._in_hand = in_hand
        self._request_ids = request_ids
        self._max_bytes = max_bytes
        self._routes: dict[str, JsonRoute[Any]] = {
            "/v1/chat/completions": ChatRoute(answer_chat),
            "/v1/completions": CompletionRoute(answer_chat),
            "/v1/responses": ResponsesRoute(answer_chat),
            "/v1/embeddings": EmbeddingRoute(embed_texts),
        }

    async def __call__(self, path: str, body: bytes, caller: Caller) -> BatchResponse:
        """Answer one request; what it brings about becomes the response and is not raised."""
        request_id, started = self._request_ids.new(caller.tenant), time.perf_counter()
        try:
            caller.require(CHAT)
            if len(body) > self._max_bytes:
                raise TooLargeError(f"the body is larger than {self._max_bytes} bytes")
            held = self._in_hand.holding(caller.key_id) if caller.key_id else nullcontext()
            with held as in_hand:
                request = RequestContext(caller, request_id, in_hand=in_hand)
                shown = await self._routes[path].answer(body, request)
            response = BatchResponse(OK, request_id, shown)
        except Exception as error:
            response = _refused(error, path, request_id)
        seconds = time.perf_counter() - started
        log_access("batch", path, response.status, seconds, request_id, caller.tenant)
        return response


def _refused(error: Exception, path: str, request_id: str) -> BatchResponse:
    refusal = refusal_in(error, path, request_id)
    fields = {"error": error_fields(refusal, request_id)}
    return BatchResponse(http_status(refusal), request_id, fields, retry_after(refusal))


class BatchHandler:
    """Job handler of the kind `batch`."""

    kind = BATCH

    def __init__(self, answer_batch: AnswerBatch, run_eval: RunEval) -> None:
        self._answer_batch = answer_batch
        self._run_eval = run_eval

    async def is_ready(self, request: JobRequested) -> bool:
        """Its file was there before it was ordered."""
        return True

    async def __call__(self, job: ActiveJob) -> JobResult:
        digest = ""
        if job.request.spec_type == EvalRunSpec.DESCRIPTOR.full_name:
            digest, summary = await self._run_eval(job, job.spec(EvalRunSpec))
        else:
            summary = await self._answer_batch(job, job.spec(BatchSpec))
        return JobResult(digest=digest, summary=ParseDict(summary, Struct()))
