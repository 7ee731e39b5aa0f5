"""A Triton server, as far as the triton engine needs it: control, liveness and streams of rows."""

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
"""Header that Triton looks into for the token of `--grpc-restricted-protocol=...:token=...`."""
CHANNEL_OPTIONS = (
    # A server that comes back is found at once, not after gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.max_receive_message_length", -1),
)
BYTES_HEAD = 4
"""A BYTES element begins with its length in four bytes."""
DEAD, FULL = "not healthy", "queue size"
"""What Triton says of a model whose process is gone, and of one that has too much to do."""
CALL_SECONDS = 5.0
POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class TritonModel:
    """A model of the Python backend, out of the package that the server has installed."""

    prefix: str
    """Of the names that it is loaded under."""
    source: bytes
    """Of its model.py."""
    config: dict[str, Any]
    """Its configuration without name and parameters; `deploy/triton/repository` says why so."""

    def new_name(self, folder: str) -> str:
        """A name that no other has."""
        return f"{self.prefix}{Path(folder).name[:FOLDER_LETTERS]}-{secrets.token_hex(6)}"

    def config_text(self, name: str, parameters: Mapping[str, str]) -> str:
        """The whole configuration in JSON."""
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
    """Triton said no to a load, and why."""


class TritonBusyError(Exception):
    """More requests wait for the model than may."""


@dataclass(frozen=True, slots=True)
class TritonAddress:
    """Where a server is and what it wants to be shown."""

    url: str
    """Host and port of its gRPC."""
    token: str = field(default="", repr=False)
    """What `--grpc-restricted-protocol` was given; empty when it was not."""
    roots: Path | None = None
    """Certificates (PEM) that the server's own is checked against; None: no TLS."""


class TritonServer:
    """One connection."""

    def __init__(self, address: TritonAddress) -> None:
        self._headers = {TOKEN_HEADER: address.token} if address.token else {}
        self._client = InferenceServerClient(
            address.url,
            ssl=address.roots is not None,
            root_certificates=None if address.roots is None else str(address.roots),
            channel_args=list(CHANNEL_OPTIONS),
        )

    async def wait_until_live(self, seconds: float) -> None:
        """Return once it answers; UnavailableError when it does not."""
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
        """Load a model under that name and wait for it.

        Raises:
            RefusedError: it cannot be loaded.
            UnavailableError: the server is gone.
        """
        try:
            await self._client.load_model(
                name,
                headers=self._headers,
                config=model.config_text(name, parameters),
                files={"file:1/model.py": model.source},
            )
        except InferenceServerException as error:
            # Triton says UNAVAILABLE for a missing token, too.
            if error.status() == "StatusCode.UNAVAILABLE" and "restricted" not in str(error):
                raise UnavailableError("Triton is gone") from error
            raise LoadRefusedError(error.message()) from error

    async def sweep(self) -> None:
        """Unload models whose process is dead: a service that is gone left them behind."""
        try:
            # The index of the repository knows no models that came with their files.
            loaded = await self._client.get_inference_statistics(
                headers=self._headers, client_timeout=CALL_SECONDS
            )
        except InferenceServerException:
            return
        await asyncio.gather(*(self._unload_if_dead(model.name) for model in loaded.model_stats))

    async def _unload_if_dead(self, name: str) -> None:
        try:
            # One that is busy does not answer in time; its own service knows better.
            async with asyncio.timeout(CALL_SECONDS):
                if name.startswith(READER.prefix):
                    await self.ask(name, {"describe": {}})
                elif name.startswith(ENGINE.prefix):
                    async with aclosing(self.rows(name, {"describe": {}})) as rows:
                        # To the end: see `triton_peer`.
                        _ = [row async for row in rows]
        except UnavailableError as error:
            if DEAD in str(error):
                await self.unload(name)
        except (TimeoutError, TritonBusyError):
            return

    async def unload(self, name: str) -> None:
        """Take a model out, if the server still can; Triton frees it with its last request."""
        with suppress(InferenceServerException):
            await self._client.unload_model(
                name, headers=self._headers, client_timeout=CALL_SECONDS
            )

    async def rows(self, name: str, message: Mapping[str, Any]) -> AsyncGenerator[Any, None]:
        """Ask a model and yield its JSON rows; closing it early cancels the call.

        Raises:
            UnavailableError: the server or the model is gone.
        """
        stream = self._client.stream_infer(_once(name, message), headers=self._headers)
        try:
            async for result, error in stream:
                if error is not None:
                    raise UnavailableError(f"Triton says: {error.message()}")
                for content in result.get_response().raw_output_contents:
                    yield json.loads(content[BYTES_HEAD:])
        except grpc.RpcError as error:
            raise UnavailableError("the stream from Triton broke") from error
        finally:
            stream.cancel()

    async def ask(self, name: str, message: Mapping[str, Any]) -> Any:
        """Ask a model that Triton batches for; its JSON row.

        Raises:
            UnavailableError: the server or the model is gone.
            FullError: it has too much to do.
        """
        try:
            result = await self._client.infer(
                name, [_tensor(message, [1, 1])], headers=self._headers
            )
        except InferenceServerException as error:
            if FULL in str(error):
                raise TritonBusyError from error
            raise UnavailableError(f"Triton says: {error.message()}") from error
        return json.loads(result.get_response().raw_output_contents[0][BYTES_HEAD:])

    async def close(self) -> None:
        """Hang up."""
        await self._client.close()


async def _once(name: str, message: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    yield {"model_name": name, "inputs": [_tensor(message, [1])]}


def _tensor(message: Mapping[str, Any], shape: list[int]) -> InferInput:
    text = json.dumps(message, separators=(",", ":")).encode()
    tensor = InferInput(INPUT, shape, "BYTES")
    tensor.set_data_from_numpy(np.array([text], dtype=np.object_).reshape(shape))
    return tensor
