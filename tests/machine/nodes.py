"""Processes of the machine, and what they were told."""

import asyncio
from dataclasses import dataclass
from typing import Any

from modelmill.jobs.v1 import job_pb2 as pb
from modelmill_testkit.fake_nats.client import FakeClient
from modelmill_testkit.simulation import Process, VirtualLoop


class Node:
    """A process with a connection of its own."""

    def __init__(self, loop: VirtualLoop, name: str) -> None:
        self.name = name
        self.process = Process(loop, name)
        self.stopping = asyncio.Event()
        self.client: FakeClient | None = None
        self.main: asyncio.Task[Any] | None = None
        self.struck_at: list[float] = []
        """When something befell it that may cost it its claims, in virtual seconds."""

    @property
    def works(self) -> bool:
        """Whether it lives and was not told to stop."""
        return self.process.alive and not self.stopping.is_set()


@dataclass(frozen=True)
class Answer:
    """What a caller was told."""

    job_id: str
    desired_state: "pb.JobDesiredState.ValueType | None"
    """None for a submit."""
    refused: str
    """The reason; empty when it was done."""
    at_request: int
    """How many desired states the stream held of that job when the caller heard."""
