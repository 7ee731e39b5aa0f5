"""The models that the triton engine loads, as Triton's model control takes them."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INPUT, OUTPUT = "request", "row"
ENGINE_SOURCE = b"from modelmill_inference.children.triton import TritonPythonModel  # noqa: F401\n"
READER_SOURCE = (
    b"from modelmill_inference.children.triton_reader import TritonPythonModel  # noqa: F401\n"
)
READER_BATCH = 32
READER_DELAY_MICROSECONDS = 2000
READER_QUEUE = 1024
FOLDER_LETTERS = 40


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


_JSON_IN_AND_OUT = {
    "backend": "python",
    "input": [{"name": INPUT, "data_type": "TYPE_STRING", "dims": [1]}],
    "output": [{"name": OUTPUT, "data_type": "TYPE_STRING", "dims": [1]}],
    "instance_group": [{"count": 1, "kind": "KIND_CPU"}],
}
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
