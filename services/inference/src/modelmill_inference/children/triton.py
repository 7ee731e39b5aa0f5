"""Python-backend model for Triton: hosts a runner in the process that Triton starts.

Triton's `model.py` imports `TritonPythonModel` from here. A request is one JSON message of
`runner` in the BYTES tensor `request` (`add`, `score`, `embed`); each response has one JSON message
in the BYTES tensor `row`. An `add` may have a `key`, unique among all callers, by which
`{"cancel": {"key"}}` ends it; a caller that cancels its call is noticed, too. Beside these there
are `describe`, `ping` and `leave` (who loaded the model has no more use for it), each with `{}`.
Parameters of the model, all strings: `runner`, `load` (JSON, as the runner's child process is told
it), `piece_seconds` and `expire_seconds`.
"""

import json
from collections.abc import Mapping
from typing import Any

from modelmill_inference.children.hosted_runner import HostedRunner, Message
from modelmill_inference.children.openvino_abilities import abilities_of
from modelmill_inference.children.runner import Runner
from modelmill_inference.children.triton_wire import leave, message_in, parameters_in, response_of


class TritonPythonModel:
    """Model class of the Python backend, which calls these methods."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the model; an error is returned to the caller of the load."""
        told = parameters_in(args)
        runner, abilities = open_runner(told["runner"], json.loads(told["load"]))
        self._hosted = HostedRunner(
            runner,
            abilities,
            piece_seconds=float(told.get("piece_seconds", 0)),
            expire_seconds=float(told.get("expire_seconds", 0)),
            on_expired=leave,
        )

    def execute(self, requests: list[Any]) -> None:
        """Queue requests; responses are sent asynchronously."""
        for request in requests:
            sender = _TritonCaller(request.get_response_sender())
            try:
                message = message_in(request)
            except ValueError as error:
                sender.tell({"rejected": [0, str(error)]}, last=True)
            else:
                self._hosted.take(sender, message)

    def finalize(self) -> None:
        """Called when Triton unloads the model."""
        self._hosted.close()


def open_runner(name: str, load: dict[str, Any]) -> tuple[Runner, dict[str, Any]]:
    """Load a runner by name; returns it with its features."""
    if name != "openvino":
        raise ValueError(f"there is no runner {name!r}; there is 'openvino'")
    # Imported on demand: other runners do not need it.
    from modelmill_inference.children.openvino import OpenVinoRunner

    return OpenVinoRunner(load), abilities_of(load)


class _TritonCaller:
    """`hosted_runner.MessageSender` on Triton's response sender."""

    def __init__(self, sender: Any) -> None:
        # Exists only in Triton's processes.
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
        self._sender.send(response_of(message), flags=flags)
