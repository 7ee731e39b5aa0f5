"""Several answers, log-probabilities and calls, by the use case and over gRPC."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from modelmill.common.v1.chat_pb2 import ChatMessage, Tool, ToolCall
from modelmill.inference.v1 import inference_service_pb2 as pb
from modelmill.inference.v1 import inference_service_pb2_grpc as pb_grpc
from modelmill_inference.admit_requests import EngineQueues
from modelmill_inference.answer_writer import AnswerPart
from modelmill_inference.domain.generation import (
    ChosenToken,
    EngineCannotError,
    GenerationRequest,
    LikelyToken,
    TokenPiece,
)
from modelmill_inference.domain.sampling import SamplingOptions
from modelmill_inference.entrypoints.grpc import InferenceServicer
from modelmill_inference.generate_text import SEEDS, GenerateCommand, GenerateText
from modelmill_inference.lease_version import VersionPool
from modelmill_inference.memory_budget import MemoryBudget, MemoryLimits
from modelmill_inference.render_prompt import Prompt
from modelmill_inference.resolve_alias import AliasResolver
from modelmill_service_kit.errors import InvalidInputError, UnavailableError
from modelmill_service_kit.grpc_client import domain_errors, open_channel
from modelmill_service_kit.grpc_server import RpcServer
from modelmill_testkit.models import make_tiny_llama
from modelmill_testkit.service_process import SECRET
from modelmill_testkit.tool_templates import MISTRAL, SPECIAL
from modelmill_tokenization import ChatTokenizer
from prometheus_client import REGISTRY

from .fakes import PATIENT, FakeEngine, FakeLoader, FakeModels, HeardFacts, plenty_free

VERSION = "mv-1"
LOOK = Tool(name="look", description="Looks.", parameters_schema='{"type": "object"}')
CALLING = 'So[TOOL_CALLS] [{"name": "look", "arguments": {"at": "Zürich"}}]</s>'


class Talker(FakeEngine):
    """Says what it is told to say, a token at a time."""

    says: list[int] | None = None
    fails = False

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[TokenPiece, None]:
        if self.says is None:
            async with aclosing(super().generate(request)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        for left, token in zip(range(len(self.says) - 1, -1, -1), self.says, strict=True):
            await self._breathe()
            if self.fails and left == 0:
                raise UnavailableError("the engine died")
            chosen = ChosenToken(-0.25, (LikelyToken(token, -0.25),))
            yield TokenPiece((token,), None if left else "stop", (chosen,))


class Room:
    """The use case with one version that talks."""

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self.tokenizer = tokenizer
        models, self.loader = FakeModels(), FakeLoader(tokenizer, kind=Talker)
        models.add(VERSION)
        self.memory = memory = MemoryBudget(plenty_free, MemoryLimits(2**40))
        self.pool = VersionPool(models, self.loader, HeardFacts(), memory, max_in_flight=9)
        self.admissions = EngineQueues(PATIENT)
        self.generate = GenerateText(self.pool, self.admissions)

    async def engine(self) -> Talker:
        async with self.pool.lease("acme", VERSION) as version:
            assert isinstance(version.engine, Talker)
            return version.engine

    async def says(self, text: str) -> None:
        (await self.engine()).says = self.tokenizer.encode(text)

    async def parts(self, text: str = "once", **options: Any) -> list[AnswerPart]:
        given = SamplingOptions(**({"max_new_tokens": 12, "temperature": 1.0} | options))
        command = GenerateCommand("acme", VERSION, Prompt(None, text), given)
        async with aclosing(self.generate(command)) as parts:
            return [part async for part in parts]


@pytest_asyncio.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    folder = make_tiny_llama(tmp_path, chat_template=MISTRAL, special=SPECIAL[MISTRAL])
    room = Room(ChatTokenizer.load(folder))
    yield room
    await room.pool.close()


@asynccontextmanager
async def grpc_stub(room: Room) -> AsyncIterator[Any]:
    """A stub of the service, over a real socket."""
    server = RpcServer("127.0.0.1:0", SECRET, drain_seconds=0)
    pb_grpc.add_InferenceServiceServicer_to_server(
        InferenceServicer(
            room.pool, room.admissions, AliasResolver(room.pool.can_serve), room.memory
        ),
        server.grpc,
    )
    async with server, open_channel(f"127.0.0.1:{server.port}", SECRET) as channel:
        yield pb_grpc.InferenceServiceStub(channel)


async def ask(room: Room, request: pb.GenerateRequest) -> list[pb.GenerateResponse]:
    async with grpc_stub(room) as stub:
        with domain_errors():
            return [response async for response in stub.Generate(request, timeout=10)]


def conversation(choice: str = "", tools: tuple[Tool, ...] = (LOOK,)) -> pb.GenerateRequest:
    messages = [ChatMessage(role="user", content="what is there?")]
    asked = pb.Conversation(messages=messages, tools=tools, tool_choice=choice)
    return pb.GenerateRequest(tenant="acme", model=VERSION, conversation=asked)


def text_of(parts: list[AnswerPart], index: int) -> str:
    return "".join(part.text for part in parts if part.index == index)


@pytest.mark.parametrize("seed", [5, SEEDS - 2])
async def test_each_answer_is_the_one_that_its_seed_gives_alone(room: Room, seed: int) -> None:
    together = await room.parts(answers=3, seed=seed)

    for index in range(3):
        alone = await room.parts(seed=(seed + index) % SEEDS)
        assert text_of(together, index) == text_of(alone, 0) != ""
    assert len({text_of(together, index) for index in range(3)}) == 3


async def test_each_answer_says_what_it_cost_and_the_prompt_is_counted_once(room: Room) -> None:
    def prompt_tokens() -> float:
        labels = {"version": VERSION}
        return REGISTRY.get_sample_value("modelmill_prompt_tokens_total", labels) or 0.0

    before = prompt_tokens()
    ends = [part.end for part in await room.parts(answers=3) if part.end]

    assert [end.completion_tokens for end in ends] == [12] * 3
    assert prompt_tokens() - before == ends[0].prompt_tokens == ends[2].prompt_tokens
    assert (await room.engine()).in_flight == 0


async def test_an_error_of_one_answer_ends_all(room: Room) -> None:
    await room.says("some words")
    (await room.engine()).fails = True

    with pytest.raises(UnavailableError, match="died"):
        await room.parts(answers=2)


async def test_log_probabilities_are_those_of_the_text(room: Room) -> None:
    await room.says("Zürich 价格</s>")
    parts = await room.parts(logprobs=1, answers=2)

    for index in (0, 1):
        tokens = [token for part in parts if part.index == index for token in part.logprobs]
        assert b"".join(token.token for token in tokens).decode() == "Zürich 价格"
        assert all(token.logprob == -0.25 for token in tokens)
        assert [token.alternatives for token in tokens] == [((t.token, -0.25),) for t in tokens]


async def test_over_grpc_answers_carry_their_number_and_their_tokens(room: Room) -> None:
    options = pb.SamplingOptions(max_new_tokens=6, temperature=1, seed=3, logprobs=2)
    request = pb.GenerateRequest(
        tenant="acme", model=VERSION, text="once", options=options, answers=2
    )
    responses = await ask(room, request)

    for index in (0, 1):
        own = [response for response in responses if response.index == index]
        assert [response.HasField("end") for response in own] == [False] * (len(own) - 1) + [True]
        assert own[-1].end.usage.completion_tokens == 6
        tokens = [token for response in own for token in response.logprobs]
        assert 1 <= len(tokens) <= 6
        assert all(len(token.alternatives) == 2 for token in tokens)


@pytest.mark.parametrize("choice", ["", "auto"])
async def test_a_call_comes_out_as_one_and_not_as_text(room: Room, choice: str) -> None:
    await room.says(CALLING)
    responses = await ask(room, conversation(choice))

    assert "".join(response.text_delta for response in responses) == "So"
    (call,) = [call for response in responses for call in response.tool_calls]
    assert (call.name, json.loads(call.arguments)) == ("look", {"at": "Zürich"})
    assert responses[-1].end.finish_reason == "tool_calls"


async def test_an_answer_that_ends_within_a_call_is_text(room: Room) -> None:
    await room.says('[TOOL_CALLS] [{"name": "look", "argum')
    responses = await ask(room, conversation())

    text = "".join(response.text_delta for response in responses)
    assert text == '[TOOL_CALLS] [{"name": "look", "argum'
    assert responses[-1].end.finish_reason == "stop"


@pytest.mark.parametrize("request_of", [conversation("none"), conversation(tools=())])
async def test_without_tools_nothing_is_a_call(room: Room, request_of: pb.GenerateRequest) -> None:
    await room.says(CALLING)
    responses = await ask(room, request_of)

    text = "".join(response.text_delta for response in responses)
    assert text == 'So [{"name": "look", "arguments": {"at": "Zürich"}}]'
    assert not any(response.tool_calls for response in responses)


async def test_a_conversation_goes_on_behind_a_call_and_its_result(room: Room) -> None:
    await room.says("It is sunny.</s>")
    request = conversation()
    call = ToolCall(id="a1b2c3d4e", name="look", arguments='{"at": "x"}')
    request.conversation.messages.extend(
        [
            ChatMessage(role="assistant", tool_calls=[call]),
            ChatMessage(role="tool", content="sun", tool_call_id="a1b2c3d4e"),
        ]
    )
    responses = await ask(room, request)

    assert "".join(response.text_delta for response in responses) == "It is sunny."
    assert responses[-1].end.finish_reason == "stop"


@pytest.mark.parametrize(
    ("request_of", "message"),
    [
        (conversation(tools=(Tool(name="no name"),)), "named 'no name'"),
        (conversation(tools=(LOOK, LOOK)), "same name"),
        (conversation(tools=(Tool(name="a", parameters_schema="[1]"),)), "tool 'a' must be a JSON"),
        (conversation("other"), "none of the tools"),
        (conversation("required", tools=()), "there are no tools"),
    ],
)
async def test_wrong_tools_are_refused_by_name(
    room: Room, request_of: pb.GenerateRequest, message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        await ask(room, request_of)


async def test_tools_for_a_model_that_is_not_told_of_them_are_refused(
    tokenizer: ChatTokenizer,
) -> None:
    room = Room(tokenizer)

    with pytest.raises(InvalidInputError, match="ignores tools"):
        await ask(room, conversation())
    await room.pool.close()


@pytest.mark.parametrize("choice", ["required", "look"])
async def test_a_call_that_cannot_be_demanded_is_refused(room: Room, choice: str) -> None:
    command = GenerateCommand(
        "acme",
        VERSION,
        Prompt(
            ({"role": "user", "content": "x"},),
            tools=({"name": "look", "description": "", "parameters": {}},),
            tool_choice=choice,
        ),
        SamplingOptions(),
    )
    with pytest.raises(EngineCannotError):
        await anext(room.generate(command))


async def test_the_first_message_says_which_version_answers_and_no_other_repeats_it(
    room: Room,
) -> None:
    request = pb.GenerateRequest(
        tenant="acme", model="unheard", text="once", answers=2, fallback_version_id=VERSION
    )
    request.options.max_new_tokens = 4
    first, *rest = await ask(room, request)

    assert first.version_id == VERSION
    assert {response.version_id for response in rest} == {""}
    assert {response.end.version_id for response in rest if response.HasField("end")} == {VERSION}
