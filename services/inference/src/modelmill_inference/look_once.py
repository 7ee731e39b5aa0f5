"""How a version is looked up that another process may have heard of first."""

from collections.abc import Callable
from typing import Protocol

from modelmill.registry.v1.model_events_pb2 import ModelReady


class Looks(Protocol):
    """See `modelmill_bus.read_model.FreshLook`."""

    async def __call__(self, find: Callable[[], ModelReady]) -> ModelReady: ...


async def look_once(find: Callable[[], ModelReady]) -> ModelReady:
    """What is known here is all there is."""
    return find()
