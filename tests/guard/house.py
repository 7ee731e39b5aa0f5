"""The gateway and moderation as processes, and an inference that says what it is told to."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
from modelmill.common.v1.chat_pb2 import TokenUsage
from modelmill.gateway.v1 import gateway_service_pb2 as gateway_pb
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from modelmill.inference.v1 import inference_service_pb2 as pb
from modelmill.inference.v1.inference_service_pb2_grpc import (
    InferenceServiceServicer,
    add_InferenceServiceServicer_to_server,
)
from modelmill.moderation.v1.moderation_service_pb2_grpc import ModerationServiceStub
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import MODEL_READY
from modelmill_cli.keys import ALL_SCOPES, AUDIENCE, ISSUER, LocalKeys
from modelmill_service_kit.grpc_client import open_channel
from modelmill_service_kit.grpc_server import RpcServer
from modelmill_testkit.nats_server import NatsServer, run_nats
from modelmill_testkit.ports import free_port
from modelmill_testkit.service_process import (
    SECRET,
    ServiceProcess,
    running_service,
    service_settings,
)
from modelmill_testkit.waiting import eventually

from tests.guard.corpus.rows import POLICY_FILE, bundle
from tests.put_policy import put_policy

MODEL = "mv-said"
TENANT = "acme"
SERVICE, SERVICE_TENANT = "ours", "judge"
"""The gateway's own `/v1/moderations` as a content-safety service; whose policy judges there."""
RPC_STATUS = {grpc.StatusCode.INVALID_ARGUMENT: 400, grpc.StatusCode.UNAVAILABLE: 503}
NOBODY = "127.0.0.1:9"
"""A peer that does not answer and is not asked."""


class Said(InferenceServiceServicer):
    """Says the pieces that stand under the prompt in `scripts`, one response each."""

    def __init__(self) -> None:
        self.scripts: dict[str, Sequence[str]] = {}
        self.prompts: list[str] = []
        self.between: Any = None
        """Awaited before each piece, when it is set; given the number of the piece."""
        self.likelihoods: Callable[[str, str], Sequence[float]] = lambda model, text: ()
        """Of the continuations, in the order asked, by a model behind a text; for judges."""
        self.scored = 0

    async def Generate(
        self, request: pb.GenerateRequest, context: Any
    ) -> AsyncIterator[pb.GenerateResponse]:
        turns = request.conversation.messages
        prompt = turns[-1].content if turns else request.text
        self.prompts.append(prompt)
        pieces = self.scripts.get(prompt, ["Noted."])
        for number, piece in enumerate(pieces):
            if self.between is not None:
                await self.between(number)
            yield pb.GenerateResponse(text_delta=piece, version_id=MODEL)
        usage = TokenUsage(prompt_tokens=1, completion_tokens=len(pieces))
        end = pb.GenerationEnd(finish_reason="stop", usage=usage, version_id=MODEL)
        yield pb.GenerateResponse(end=end, version_id=MODEL)

    async def Score(self, request: pb.ScoreRequest, context: Any) -> pb.ScoreResponse:
        self.scored += 1
        text = request.conversation.messages[-1].content
        scores = [
            pb.ContinuationScore(log_likelihood=it) for it in self.likelihoods(request.model, text)
        ]
        return pb.ScoreResponse(scores=scores, version_id=MODEL)


@dataclass(frozen=True)
class Answer:
    """What a client saw of a streamed answer."""

    status: int
    raw: str
    """The whole body."""
    text: str
    finish_reason: str
    """Of the last chunk; empty when the stream broke off."""


@dataclass
class House:
    """Everything that a test may look at or break."""

    http: httpx.AsyncClient
    bus: Bus
    nats: NatsServer
    said: Said
    moderation: Any
    """A stub of the real service; None when another judges."""
    moderation_process: ServiceProcess | None
    gateway_rpc: Any
    """A stub of the gateway, with a token."""

    async def chat(self, prompt: str) -> Answer:
        """`/v1/chat/completions`, streamed."""
        messages = [{"role": "user", "content": prompt}]
        return await self._streamed("/v1/chat/completions", {"messages": messages})

    async def complete(self, prompt: str) -> Answer:
        """`/v1/completions`, streamed."""
        return await self._streamed("/v1/completions", {"prompt": prompt})

    async def stream_chat(self, prompt: str) -> Answer:
        """`GatewayService.StreamChat`, over gRPC; a refusal has its status as HTTP has it."""
        call = gateway_pb.ChatCall(model=MODEL)
        call.messages.add(role="user", content=prompt)
        text, finish = "", ""
        try:
            async for said in self.gateway_rpc.StreamChat(
                gateway_pb.StreamChatRequest(call=call), timeout=60
            ):
                text += said.text_delta
                finish = said.end.finish_reason or finish
        except grpc.aio.AioRpcError as error:
            return Answer(RPC_STATUS[error.code()], error.details() or "", text, finish)
        return Answer(200, "[DONE]", text, finish)

    async def knows_the_model(self) -> bool:
        """The gateway has heard of it."""
        return (await self.http.get(f"/v1/models/{MODEL}")).status_code == httpx.codes.OK

    async def _streamed(self, path: str, body: Mapping[str, Any]) -> Answer:
        answer = await self.http.post(path, json={"model": MODEL, "stream": True, **body})
        raw, text, finish = answer.text, [], ""
        if answer.status_code == httpx.codes.OK:
            for event in filter(None, raw.split("\n\n")):
                data = event.removeprefix("data: ")
                if data == "[DONE]" or "error" in (chunk := json.loads(data)):
                    continue
                choice = chunk["choices"][0]
                text.append(choice.get("text") or choice.get("delta", {}).get("content") or "")
                finish = choice["finish_reason"] or finish
        return Answer(answer.status_code, raw, "".join(text), finish)


@asynccontextmanager
async def run_house(
    folder: Path,
    *,
    moderation: str = "",
    policy_file: Path = POLICY_FILE,
    asks_always: bool = False,
) -> AsyncIterator[House]:
    """The house with the policy of the corpus in force.

    Args:
        asks_always: the gateway asks moderation about every input, also where rules are all of it.
        moderation: who judges inputs instead of the real one; the policy is still published.
        policy_file: another policy for the real one.
    """
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        nats = await enter(run_nats(folder / "nats"))
        bus = await enter(Bus.connect(nats.url, nats.token, name="tests"))
        settings, said, process, stub = service_settings(nats, folder), Said(), None, None
        inference = await _inference(stack, said)
        keys, http_port = LocalKeys(folder), free_port()
        keys.ensure()
        if not moderation:
            own = {"policy_path": str(policy_file), "inference_address": inference}
            own["safety_services"] = _safety_services(folder, keys, http_port)
            process = await enter(running_service("moderation", settings | own))
            moderation = process.address
            stub = ModerationServiceStub(await enter(open_channel(moderation, SECRET)))
        else:
            await put_policy(bus, "shared", bundle())
        addresses = _addresses(keys, inference, moderation, http_port)
        addresses |= {"rules_here_chars": "0"} if asks_always else {}
        await _say_model(bus)
        gateway = await enter(running_service("gateway", settings | addresses))
        rpc = GatewayServiceStub(await enter(open_channel(gateway.address, _token(keys))))
        http = await enter(_client(gateway, _token(keys)))
        house = House(http, bus, nats, said, stub, process, rpc)
        await eventually(house.knows_the_model)
        yield house


async def _inference(stack: AsyncExitStack, said: Said) -> str:
    """Serve what is said; gives the address."""
    server = RpcServer("127.0.0.1:0", SECRET, drain_seconds=0)
    add_InferenceServiceServicer_to_server(said, server.grpc)
    await stack.enter_async_context(server)
    return f"127.0.0.1:{server.port}"


async def _say_model(bus: Bus) -> None:
    model = ModelReady(
        version_id=MODEL, tenant="shared", name="said", form="safetensors", base_version_id=MODEL
    )
    model.created_at.GetCurrentTime()
    await bus.publish(MODEL_READY, model, msg_id=MODEL)


def _safety_services(folder: Path, keys: LocalKeys, http_port: int) -> str:
    token = folder / "safety-token"
    token.write_text(_token(keys, SERVICE_TENANT))
    url = f"http://127.0.0.1:{http_port}/v1/moderations"
    return json.dumps({SERVICE: {"url": url, "token_file": str(token), "timeout_seconds": 4}})


def _addresses(keys: LocalKeys, inference: str, moderation: str, http_port: int) -> dict[str, str]:
    return {
        "http_address": f"127.0.0.1:{http_port}",
        "jwks_path": str(keys.jwks_file),
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
        "inference_address": inference,
        "moderation_address": moderation,
        "drain_seconds": "1",
    } | {f"{peer}_address": NOBODY for peer in ("data_prep", "trainer", "optimizer_builder")}


def _token(keys: LocalKeys, tenant: str = TENANT) -> str:
    life = timedelta(minutes=10)
    return keys.issue(subject="ada", tenant=tenant, scopes=ALL_SCOPES, life=life)


def _client(gateway: ServiceProcess, token: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{gateway.ports['http']}",
        headers={"authorization": f"Bearer {token}"},
        timeout=60,
    )
