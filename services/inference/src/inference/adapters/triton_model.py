"""The model that the triton engine loads, as Triton's model control takes it."""

import json
from collections.abc import Mapping
from typing import Any

INPUT, OUTPUT = "request", "row"
FILES = {
    "file:1/model.py": b"from inference.children.triton import TritonPythonModel  # noqa: F401\n",
}
"""What the model is made of: it hosts a runner of the package that the server has installed."""


def engine_config(name: str, parameters: Mapping[str, str]) -> str:
    """Its configuration in JSON; `deploy/triton/repository/engine/config.pbtxt` says why so."""
    config: dict[str, Any] = {
        "name": name,
        "backend": "python",
        "max_batch_size": 0,
        "input": [{"name": INPUT, "data_type": "TYPE_STRING", "dims": [1]}],
        "output": [{"name": OUTPUT, "data_type": "TYPE_STRING", "dims": [1]}],
        "instance_group": [{"count": 1, "kind": "KIND_CPU"}],
        "model_transaction_policy": {"decoupled": True},
        "parameters": {key: {"string_value": value} for key, value in parameters.items()},
    }
    return json.dumps(config)
