"""What Triton's Python backend runs: a runner, hosted in the process that Triton starts.

Triton's `model.py` imports `TritonPythonModel` from here. A request is one JSON message of
`runner` in the BYTES tensor `request` (`add`, `score`, `embed`, or `describe` and `ping`); each
response has one JSON message in the BYTES tensor `row`. Instead of `cancel` the caller cancels the
call. Parameters of the model, all strings: `runner`, `load` (JSON, as the runner's child process is
told it), `piece_seconds` and `expire_seconds`.
"""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from inference.children.hosted_runner import HostedRunner, Message
from inference.children.openvino_abilities import abilities_of
from inference.children.runner import Runner

NUMPY = "1.26"
"""With numpy 2 this backend reads tensors wrong, in silence."""


class TritonPythonModel:
    """Triton's side of the host; it calls these three methods."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the model; an error is what the caller of Triton's load is told."""
        if not np.__version__.startswith(NUMPY):
            raise RuntimeError(
                f"Triton's Python backend needs numpy {NUMPY}, here is {np.__version__}: install "
                "deploy/triton/requirements.txt"
            )
        told = _parameters(args)
        runner, abilities = open_runner(told["runner"], json.loads(told["load"]))
        self._hosted = HostedRunner(
            runner,
            abilities,
            piece_seconds=float(told.get("piece_seconds", 0)),
            expire_seconds=float(told.get("expire_seconds", 0)),
            on_expired=_leave,
        )

    def execute(self, requests: list[Any]) -> None:
        """Queue them and return: answers go out when there is something to tell."""
        for request in requests:
            asker = _Caller(request.get_response_sender())
            try:
                message = _message_in(request)
            except ValueError as error:
                asker.tell({"rejected": [0, str(error)]}, last=True)
            else:
                self._hosted.take(asker, message)

    def finalize(self) -> None:
        """End it; Triton unloads the model."""
        self._hosted.close()


def open_runner(name: str, load: dict[str, Any]) -> tuple[Runner, dict[str, Any]]:
    """The runner of that name, loaded, and what it can do."""
    if name != "openvino":
        raise ValueError(f"there is no runner {name!r}; there is 'openvino'")
    # Only here, so that a process that hosts something else does not import it.
    from inference.children.openvino import OpenVinoRunner

    return OpenVinoRunner(load), abilities_of(load)


class _Caller:
    """Triton's response sender as an asker."""

    def __init__(self, sender: Any) -> None:
        # Exists in the process that Triton starts, nowhere else.
        import triton_python_backend_utils as backend

        self._backend = backend
        self._sender = sender

    def has_left(self) -> bool:
        return bool(self._sender.is_cancelled())

    def tell(self, message: Message | None, *, last: bool) -> None:
        flags = self._backend.TRITONSERVER_RESPONSE_COMPLETE_FINAL if last else 0
        if message is None:
            self._sender.send(flags=flags)
            return
        row = np.array([json.dumps(message, separators=(",", ":")).encode()], dtype=np.object_)
        tensor = self._backend.Tensor("row", row)
        self._sender.send(self._backend.InferenceResponse([tensor]), flags=flags)


def _message_in(request: Any) -> Message:
    import triton_python_backend_utils as backend

    tensor = backend.get_input_tensor_by_name(request, "request").as_numpy()
    message = json.loads(tensor.reshape(-1)[0])
    if not isinstance(message, dict) or len(message) != 1:
        raise ValueError("a request is one JSON object with one order")
    order, body = next(iter(message.items()))
    if order not in ("add", "score", "embed", "describe", "ping") or not isinstance(body, dict):
        raise ValueError(f"there is no order {order!r}, or its body is no object")
    return message


def _parameters(args: Mapping[str, str]) -> dict[str, str]:
    parameters = json.loads(args["model_config"])["parameters"]
    return {name: value["string_value"] for name, value in parameters.items()}


def _leave() -> None:
    print("nobody asked this model anything for long: it is given up", file=sys.stderr, flush=True)
    # Triton has no way for a model to unload itself; what matters, the memory, goes with the
    # process, and the next load sweeps the name away.
    os._exit(1)
