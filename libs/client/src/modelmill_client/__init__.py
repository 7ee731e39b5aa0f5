"""Typed client of Modelmill's gateway: `Modelmill`, and `AsyncModelmill` for who awaits."""

from modelmill_client import types
from modelmill_client._async.client import AsyncModelmill
from modelmill_client._sync.client import Modelmill
from modelmill_client.errors import (
    ApiStatusError,
    ConnectionFailedError,
    JobFailedError,
    ModelmillError,
    SetupError,
    WaitTimeoutError,
)
from modelmill_client.wire import Retries

__all__ = [
    "ApiStatusError",
    "AsyncModelmill",
    "ConnectionFailedError",
    "JobFailedError",
    "Modelmill",
    "ModelmillError",
    "Retries",
    "SetupError",
    "WaitTimeoutError",
    "types",
]
