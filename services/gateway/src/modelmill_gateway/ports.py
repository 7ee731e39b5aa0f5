"""What use cases ask of the parts around them; adapters give it, and wrappers pass it on."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from modelmill.gateway.v1.gateway_events_pb2 import UsageRecorded
from modelmill_audit.text_judged import TextJudged
from modelmill_guard.bundle import CompiledPolicy

from modelmill_gateway.domain.chat import ChatCall, Piece
from modelmill_gateway.domain.models import AskedModel
from modelmill_gateway.domain.verdict import InputVerdict


class Moderation(Protocol):
    """Judges inputs."""

    async def check_input(self, text: str, *, tenant: str, timeout: float) -> InputVerdict: ...


class Engines(Protocol):
    """Generates text; leaving the block stops the generation."""

    def generate(
        self, call: ChatCall, *, tenant: str, asked: AskedModel, timeout: float
    ) -> AbstractAsyncContextManager[AsyncIterator[Piece]]: ...


class Policies(Protocol):
    """The policy in force for a tenant, for inputs and outputs alike; raises when there is none."""

    def of(self, tenant: str) -> CompiledPolicy: ...


class AuditTrail(Protocol):
    """Takes verdicts without waiting."""

    def record(self, judged: TextJudged) -> None: ...


class UsageRecords(Protocol):
    """Takes records without waiting."""

    def record(self, usage: UsageRecorded) -> None: ...
