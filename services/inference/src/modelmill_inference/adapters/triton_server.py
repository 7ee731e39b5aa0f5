"""Client of a Triton server: model control, liveness and inference streams."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from modelmill_service_kit.errors import UnavailableError
from tritonclient.grpc import InferInput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

INPUT, OUTPUT = "request", "row"
ENGINE_SOURCE = b"from modelmill_inference.children.triton import TritonPythonModel  # noqa: F401\n"
READER_SOURCE = (
    b"from modelmill_inference.children.triton_reader import TritonPythonModel  # noqa: F401\n"
)
READER_BATCH = 32
READER_DELAY_MICROSECONDS = 2000
READER_QUEUE = 1024
FOLDER_LETTERS = 40
_JSON_IN_AND_OUT = {
    "backend": "python",
    "input": [{"name": INPUT, "data_type": "TYPE_STRING", "dims": [1]}],
    "output": [{"name": OUTPUT, "data_type": "TYPE_STRING", "dims": [1]}],
    "instance_group": [{"count": 1, "kind": "KIND_CPU"}],
}
TOKEN_HEADER = "triton-grpc-protocol-token"
"""Header with the token of `--grpc-restricted-protocol=...:token=...`."""
CHANNEL_OPTIONS = (
    # Reconnect to a restarted server at once, not after gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.max_receive_message_length", -1),
)
BYTES_HEAD = 4
"""A BYTES element starts with its length in four bytes."""
DEAD, FULL = "not healthy", "queue size"
"""Parts of Triton's messages for a dead model process, and for a full queue."""
CALL_SECONDS = 5.0
POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class TritonModel:
    """A Python-backend model from the package that the server has installed."""

    prefix: str
    """Prefix of model names."""
    source: bytes
    """Source of model.py."""
    config: dict[str, Any]
    """Configuration without name and parameters, explained in `deploy/triton/repository`."""

    def new_name(self, folder: str) -> str:
        """A unique model name."""
        return f"{self.prefix}{Path(folder).name[:FOLDER_LETTERS]}-{secrets.token_hex(6)}"

    def config_text(self, name: str, parameters: Mapping[str, str]) -> str:
        """The complete configuration as JSON."""
        told = {key: {"string_value": value} for key, value in parameters.items()}
        return json.dumps({"name": name, **self.config, "parameters": told})


ENGINE = TritonModel(
    "modelmill-engine-",
    ENGINE_SOURCE,
    {
        **_JSON_IN_AND_OUT,
        "max_batch_size": 0,
        "model_transaction_policy": {"decoupled": True},
    },
)
READER = TritonModel(
    "modelmill-reader-",
    READER_SOURCE,
    {
        **_JSON_IN_AND_OUT,
        "max_batch_size": READER_BATCH,
        "dynamic_batching": {
            "max_queue_delay_microseconds": READER_DELAY_MICROSECONDS,
            "default_queue_policy": {"max_queue_size": READER_QUEUE},
        },
    },
)


class LoadRefusedError(Exception):
    """Triton rejected a load; the message has the reason."""


class TritonBusyError(Exception):
    """The model's queue is full."""


@dataclass(frozen=True, slots=True)
class TritonAddress:
    """Address and credentials of a server."""

    url: str
    """Host and port of the gRPC endpoint."""
    token: str = field(default="", repr=False)
    """Token of `--grpc-restricted-protocol`; empty for none."""
    roots: Path | None = None
    """CA certificates (PEM); None for no TLS."""
    connect_seconds: float = 10.0
    """Connection timeout."""


class TritonServer:
    """One gRPC connection."""

    def __init__(self, address: TritonAddress) -> None:
        self._headers = {TOKEN_HEADER: address.token} if address.token else {}
        self._client = InferenceServerClient(
            address.url,
            ssl=address.roots is not None,
            root_certificates=None if address.roots is None else str(address.roots),
            channel_args=list(CHANNEL_OPTIONS),
        )

    async def wait_until_live(self, seconds: float) -> None:
        """Wait until the server answers. Raises UnavailableError."""
        deadline = time.monotonic() + seconds
        while not await self._is_live():
            if time.monotonic() >= deadline:
                raise UnavailableError(f"Triton did not answer within {seconds:g} s")
            await asyncio.sleep(POLL_SECONDS)

    async def _is_live(self) -> bool:
        try:
            return bool(await self._client.is_server_live(client_timeout=CALL_SECONDS))
        except InferenceServerException:
            return False

    async def load(self, name: str, model: TritonModel, parameters: Mapping[str, str]) -> None:
        """Load a model under a name, and wait for it.

        Raises:
            RefusedError: it cannot be loaded.
            UnavailableError: the server does not answer.
        """
        try:
            await self._client.load_model(
                name,
                headers=self._headers,
                config=model.config_text(name, parameters),
                files={"file:1/model.py": model.source},
            )
        except InferenceServerException as error:
            # Triton also answers UNAVAILABLE for a missing token.
            if error.status() == "StatusCode.UNAVAILABLE" and "restricted" not in str(error):
                raise UnavailableError("Triton does not answer") from error
            raise LoadRefusedError(error.message()) from error

    async def sweep(self) -> None:
        """Unload models with a dead process, which an earlier service instance left behind."""
        try:
            # The repository index does not list models that were loaded with their files.
            loaded = await self._client.get_inference_statistics(
                headers=self._headers, client_timeout=CALL_SECONDS
            )
        except InferenceServerException:
            return
        await asyncio.gather(*(self._unload_if_dead(model.name) for model in loaded.model_stats))

    async def _unload_if_dead(self, name: str) -> None:
        try:
            # A busy model does not answer in time, and belongs to a running service.
            async with asyncio.timeout(CALL_SECONDS):
                if name.startswith(READER.prefix):
                    await self.ask(name, {"describe": {}})
                elif name.startswith(ENGINE.prefix):
                    async with aclosing(self.rows(name, {"describe": {}})) as rows:
                        # Read to the end, see `triton_peer`.
                        _ = [row async for row in rows]
        except UnavailableError as error:
            if DEAD in str(error):
                await self.unload(name)
        except (TimeoutError, TritonBusyError):
            return

    async def unload(self, name: str) -> None:
        """Unload a model, if the server answers; Triton frees it after its last request."""
        with suppress(InferenceServerException):
            await self._client.unload_model(
                name, headers=self._headers, client_timeout=CALL_SECONDS
            )

    async def rows(self, name: str, message: Mapping[str, Any]) -> AsyncGenerator[Any, None]:
        """Send a request and yield the JSON rows; closing early cancels the call.

        Raises:
            UnavailableError: the server or the model does not answer.
        """
        stream = self._client.stream_infer(_once(name, message), headers=self._headers)
        try:
            async for result, error in stream:
                if error is not None:
                    raise UnavailableError(f"Triton answered: {error.message()}")
                for content in result.get_response().raw_output_contents:
                    yield json.loads(content[BYTES_HEAD:])
        except grpc.RpcError as error:
            raise UnavailableError("the stream from Triton broke") from error
        finally:
            stream.cancel()

    async def ask(self, name: str, message: Mapping[str, Any]) -> Any:
        """Send a request to a model with dynamic batching; returns the JSON row.

        Raises:
            UnavailableError: the server or the model does not answer.
            FullError: it has too much to do.
        """
        try:
            result = await self._client.infer(
                name, [_tensor(message, [1, 1])], headers=self._headers
            )
        except InferenceServerException as error:
            if FULL in str(error):
                raise TritonBusyError from error
            raise UnavailableError(f"Triton answered: {error.message()}") from error
        return json.loads(result.get_response().raw_output_contents[0][BYTES_HEAD:])

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()


async def _once(name: str, message: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    yield {"model_name": name, "inputs": [_tensor(message, [1])]}


def _tensor(message: Mapping[str, Any], shape: list[int]) -> InferInput:
    text = json.dumps(message, separators=(",", ":")).encode()
    tensor = InferInput(INPUT, shape, "BYTES")
    tensor.set_data_from_numpy(np.array([text], dtype=np.object_).reshape(shape))
    return tensor
