"""Ports: what use cases ask of the services and stores around them, implemented by adapters."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from modelmill.gateway.v1.gateway_events_pb2 import UsageRecorded
from modelmill_guard.bundle import CompiledPolicy
from modelmill_guard.judge import Window
from modelmill_guard.judging import Ruling

from modelmill_gateway.domain.chat import ChatCall, CountedPrompt, Embedded, Piece
from modelmill_gateway.domain.models import AskedModel
from modelmill_gateway.domain.verdict import InputVerdict


class Moderation(Protocol):
    """Judges inputs, and windows of answers."""

    async def check_input(self, text: str, *, tenant: str, timeout: float) -> InputVerdict: ...

    async def judge_window(
        self, judge_id: str, window: Window, *, tenant: str, policy_digest: str, timeout: float
    ) -> Ruling: ...


class Engines(Protocol):
    """Inference; leaving the block of `generate` stops the generation."""

    def generate(
        self, call: ChatCall, *, tenant: str, asked: AskedModel, timeout: float
    ) -> AbstractAsyncContextManager[AsyncIterator[Piece]]: ...

    async def embed(
        self, texts: Sequence[str], *, tenant: str, asked: AskedModel, timeout: float
    ) -> Embedded: ...

    async def count(
        self, call: ChatCall, *, tenant: str, asked: AskedModel, timeout: float
    ) -> CountedPrompt: ...

    async def load(self, *, tenant: str, version_id: str, timeout: float) -> None: ...


class Policies(Protocol):
    """The policy in force for a tenant, for inputs and outputs alike; raises when there is none."""

    def of(self, tenant: str) -> CompiledPolicy: ...


class UsageRecords(Protocol):
    """Takes records without waiting."""

    def record(self, usage: UsageRecorded) -> None: ...
