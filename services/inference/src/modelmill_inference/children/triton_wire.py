"""Converts Triton's tensors to messages of `runner`, in processes of the Python backend."""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

NUMPY = "1.26"
"""With numpy 2 the backend silently misreads tensors."""
ORDERS = ("add", "cancel", "score", "embed", "describe", "ping", "leave")


def parameters_in(args: Mapping[str, str]) -> dict[str, str]:
    """Model parameters from the arguments of `initialize`.

    Raises:
        RuntimeError: the installed numpy misreads tensors.
    """
    if not np.__version__.startswith(NUMPY):
        raise RuntimeError(
            f"Triton's Python backend needs numpy {NUMPY}, here is {np.__version__}: install "
            "deploy/triton/requirements.txt"
        )
    parameters = json.loads(args["model_config"])["parameters"]
    return {name: value["string_value"] for name, value in parameters.items()}


def message_in(request: Any) -> dict[str, Any]:
    """Parse the message of a request. Raises ValueError."""
    # Exists only in Triton's processes.
    import triton_python_backend_utils as backend

    tensor = backend.get_input_tensor_by_name(request, "request").as_numpy()
    message = json.loads(tensor.reshape(-1)[0])
    if not isinstance(message, dict) or len(message) != 1:
        raise ValueError("a request is one JSON object with one order")
    order, body = next(iter(message.items()))
    if order not in ORDERS or not isinstance(body, dict):
        raise ValueError(f"there is no order {order!r}, or its body is no object")
    return message


def response_of(message: Mapping[str, Any], shape: tuple[int, ...] = (1,)) -> Any:
    """Create a response with a message."""
    import triton_python_backend_utils as backend

    row = json.dumps(message, separators=(",", ":")).encode()
    tensor = backend.Tensor("row", np.array([row], dtype=np.object_).reshape(shape))
    return backend.InferenceResponse([tensor])


def leave() -> None:
    """End the process of an expired model.

    A model cannot unload itself in Triton. Ending the process frees its memory, and the next load
    removes the name.
    """
    print("this model has expired: no requests for too long", file=sys.stderr, flush=True)
    os._exit(1)
