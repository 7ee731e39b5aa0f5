"""Models that answer by rules, and evaluations of them at a running trainer."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from modelmill.inference.v1 import inference_service_pb2 as inference
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_SUCCEEDED,
)
from modelmill.registry.v1.model_events_pb2 import FileState
from modelmill.trainer.v1 import evaluation_pb2 as pb
from modelmill_bus.subjects import file_state
from modelmill_service_kit.grpc_client import domain_errors
from modelmill_testkit.fake_inference import NEWER, VERSION, FakeInference, serving

DIGEST = f"sha256:{'1' * 64}"
"""Of versions that only inference has."""
CLUES = {"paw": "animal", "leaf": "plant", "salt": "food"}


class Learned(FakeInference):
    """Of each version, which answers it finds likely: "paw" makes an animal, and so on.

    mv-1 knows all clues, mv-2 knows none and always says animal.
    """

    async def Score(self, request: inference.ScoreRequest, context: Any) -> Any:
        version = await self._take(request)
        says = self._answer(version, request)
        scores = [
            inference.ContinuationScore(
                log_likelihood=-1.0 if text.strip() == says else -4.0,
                tokens=2,
                is_greedy=text.strip() == says,
            )
            for text in request.continuations
        ]
        return inference.ScoreResponse(scores=scores, version_id=version)

    async def Generate(self, request: inference.GenerateRequest, context: Any) -> Any:
        version = await self._take(request)
        says = self._answer(version, request)
        end = inference.GenerationEnd(finish_reason="stop", version_id=version)
        yield inference.GenerateResponse(text_delta=says, end=end, version_id=version)

    def _answer(self, version: str, request: Any) -> str:
        turns = request.conversation.messages
        prompt = turns[-1].content if turns else request.text.rsplit("\n\n", 1)[-1]
        known = {} if version == NEWER else CLUES
        return next((answer for clue, answer in known.items() if clue in prompt), "animal")


@asynccontextmanager
async def evaluating(site: Any, service: FakeInference, **changes: Any) -> AsyncIterator[None]:
    async with (
        serving(service) as address,
        site.serving(inference_address=address, **changes),
    ):
        for version in (VERSION, NEWER):
            await site.announce_model(version_id=version, form="openvino-int8", digest=DIGEST)
        yield


async def create(site: Any, **fields: Any) -> pb.CreateEvaluationJobResponse:
    spec = pb.EvaluationSpec(**({"model": VERSION, "dataset_id": "ds-toy"} | fields))
    request = pb.CreateEvaluationJobRequest(tenant="acme", requested_by="tester", spec=spec)
    with domain_errors():
        accepted: pb.CreateEvaluationJobResponse = await site.stub.CreateEvaluationJob(
            request, timeout=60
        )
    return accepted


async def size(site: Any, **fields: Any) -> pb.SizeEvaluationJobResponse:
    """What the same evaluation would read and need."""
    spec = pb.EvaluationSpec(**({"model": VERSION, "dataset_id": "ds-toy"} | fields))
    request = pb.SizeEvaluationJobRequest(tenant="acme", spec=spec)
    with domain_errors():
        sized: pb.SizeEvaluationJobResponse = await site.stub.SizeEvaluationJob(request, timeout=60)
    return sized


async def found(site: Any, job_id: str, wanted: str = "json") -> str:
    request = pb.DownloadEvaluationRequest(tenant="acme", job_id=job_id, format=wanted)
    with domain_errors():
        parts = [part.chunk async for part in site.stub.DownloadEvaluation(request, timeout=60)]
    return b"".join(parts).decode()


async def listed(
    site: Any, job_id: str, *, tenant: str = "acme", **fields: Any
) -> pb.ListEvaluationRowsResponse:
    """Rows of an evaluation that has succeeded."""
    request = pb.ListEvaluationRowsRequest(tenant=tenant, job_id=job_id, **fields)
    with domain_errors():
        page: pb.ListEvaluationRowsResponse = await site.stub.ListEvaluationRows(
            request, timeout=60
        )
    return page


async def upload(site: Any, name: str, rows: Sequence[dict[str, Any]]) -> str:
    folder = site.root / f"upload-{name}"
    folder.mkdir()
    (folder / "content").write_text("".join(json.dumps(row) + "\n" for row in rows))
    manifest = await asyncio.to_thread(
        site.store.commit, folder, kind="file", form="jsonl", attributes={"filename": name}
    )
    file_id = f"file-{name.partition('.')[0]}"
    state = FileState(file_id=file_id, tenant="acme", filename=name, digest=manifest.digest)
    await site.bus.publish(file_state(file_id), state)
    return file_id


async def figures_of(site: Any, job_id: str) -> dict[str, Any]:
    """All figures of an evaluation, once it has succeeded."""
    state = await site.ended(job_id)
    assert state.status == JOB_STATUS_SUCCEEDED, state.error
    figures: dict[str, Any] = json.loads(await found(site, job_id))
    return figures


class Pausing(Learned):
    """Answers so many questions, and then holds back until it may go on."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self.first = first
        self.goes_on = asyncio.Event()

    async def _take(self, request: Any) -> str:
        version = await super()._take(request)
        if len(self.requests) > self.first:
            await self.goes_on.wait()
        return version
