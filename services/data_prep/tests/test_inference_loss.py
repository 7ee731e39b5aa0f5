"""The loss is asked for row by row, a few at once, and patiently."""

import asyncio
import math
from typing import Any

import grpc
import pyarrow as pa
import pytest
from data_prep.adapters.inference_loss import HEAD_CHARACTERS, InferenceLoss
from data_prep.domain.row_batch import ROWS
from grpc.aio import AioRpcError, Metadata
from modelmill.inference.v1.inference_service_pb2 import (
    ContinuationScore,
    ScoreRequest,
    ScoreResponse,
)
from service_kit.errors import NotFoundError, OverloadedError, UnavailableError


def refusal(code: grpc.StatusCode, reason: str = "", retry_after: str = "") -> AioRpcError:
    """What a call raises when a service says no; without a reason it is gRPC that says so."""
    said = [("modelmill-reason", reason)] if reason else []
    said += [("retry-after", retry_after)] if retry_after else []
    return AioRpcError(code, Metadata(), Metadata(*said), details="no")


NO_ROOM = refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", "7")
AWAY = refusal(grpc.StatusCode.UNAVAILABLE)


class FakeInference:
    """Every token of an answer costs a nat; fails first as told."""

    def __init__(self, *failures: AioRpcError) -> None:
        self.failures = list(failures)
        self.requests: list[ScoreRequest] = []
        self.running = 0
        self.most_running = 0

    async def Score(self, request: ScoreRequest, timeout: float) -> ScoreResponse:
        assert timeout > 0
        self.requests.append(request)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        if self.failures:
            raise self.failures.pop(0)
        if "long" in request.continuations[0]:
            raise refusal(grpc.StatusCode.INVALID_ARGUMENT, "PROMPT_TOO_LONG")
        tokens = len(request.continuations[0])
        score = ContinuationScore(log_likelihood=-2.0 * tokens, tokens=tokens)
        return ScoreResponse(scores=[score])


class Sleeper:
    """Waits for nothing and remembers how long it was told to."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


def rows(*turns: list[tuple[str, str]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [
            {
                "line": line,
                "source": bytes(32),
                "roles": [role for role, _ in row],
                "contents": [content for _, content in row],
                "extras": [None] * len(row),
                "tools": None,
                "rejected": None,
                "changes": [],
                "made_by": None,
            }
            for line, row in enumerate(turns, 1)
        ],
        schema=ROWS,
    )


def ask(stub: FakeInference, sleeper: Sleeper, **more: Any) -> InferenceLoss:
    return InferenceLoss(stub, tenant="acme", model="base", sleep=sleeper, **more)


def question(answer: str) -> list[tuple[str, str]]:
    return [("user", "a"), ("assistant", answer)]


async def test_the_loss_is_that_of_a_mean_token_of_the_answer() -> None:
    stub = FakeInference()

    losses = await ask(stub, Sleeper())(rows(question("bb"), question("c")))

    assert losses.tolist() == [2.0, 2.0]
    asked = {request.continuations[0]: request for request in stub.requests}
    assert asked["bb"].tenant == "acme"
    assert asked["bb"].model == "base"
    [turn] = asked["bb"].conversation.messages
    assert (turn.role, turn.content) == ("user", "a")


async def test_of_a_document_the_rest_is_scored_after_its_head() -> None:
    stub = FakeInference()
    document = "abcdefgh" * 100

    await ask(stub, Sleeper(), at_once=1)(rows([("assistant", document)], [("assistant", "abcd")]))

    long, short = stub.requests
    assert (long.text, long.continuations[0]) == (
        document[:HEAD_CHARACTERS],
        document[HEAD_CHARACTERS:],
    )
    assert (short.text, short.continuations[0]) == ("a", "bcd")


async def test_what_the_model_cannot_score_has_no_loss_and_costs_itself_alone() -> None:
    given = rows(question("long"), question(""), [("assistant", "a")], question("b"))

    losses = await ask(FakeInference(), Sleeper())(given)

    assert [math.isnan(loss) for loss in losses] == [True, True, True, False]


async def test_no_more_rows_are_asked_about_at_once_than_said() -> None:
    stub = FakeInference()

    await ask(stub, Sleeper(), at_once=3)(rows(*[question("b")] * 20))

    assert stub.most_running == 3
    assert len(stub.requests) == 20


async def test_a_service_without_room_is_asked_again_when_it_says() -> None:
    sleeper = Sleeper()

    losses = await ask(FakeInference(NO_ROOM, AWAY), sleeper)(rows(question("b")))

    assert losses.tolist() == [2.0]
    # As long as the service asks for, else longer each time: 0.5, 1, 2 seconds.
    assert sleeper.waits == [7.0, 2.0]


@pytest.mark.parametrize(
    ("failure", "error"), [(AWAY, UnavailableError), (NO_ROOM, OverloadedError)]
)
async def test_patience_has_an_end(failure: AioRpcError, error: type[Exception]) -> None:
    sleeper = Sleeper()

    with pytest.raises(error):
        await ask(FakeInference(*[failure] * 100), sleeper, patience_seconds=60)(
            rows(question("b"))
        )

    assert 60 <= sum(sleeper.waits) < 120


async def test_a_model_that_is_unknown_ends_the_job_at_once() -> None:
    sleeper = Sleeper()
    unknown = refusal(grpc.StatusCode.NOT_FOUND, "NOT_FOUND")

    with pytest.raises(NotFoundError):
        await ask(FakeInference(unknown), sleeper)(rows(*[question("b")] * 20))

    assert sleeper.waits == []


async def test_no_rows_are_no_questions() -> None:
    stub = FakeInference()

    assert (await ask(stub, Sleeper())(rows())).tolist() == []
    assert stub.requests == []
