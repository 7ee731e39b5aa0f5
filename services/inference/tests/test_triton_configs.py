"""The configurations in deploy/triton, read as Triton reads them."""

import json
from pathlib import Path

import pytest
from google.protobuf import json_format, text_format
from modelmill_inference.adapters.triton_server import ENGINE, READER, TritonModel
from tritonclient.grpc.model_config_pb2 import ModelConfig

FOLDER = Path(__file__).parents[3] / "deploy" / "triton"
CONFIGS = sorted(FOLDER.glob("*/*/config.pbtxt"))
REPOSITORY = FOLDER / "repository"


def config_in(file: Path) -> ModelConfig:
    """Raises on a field that Triton does not know."""
    return text_format.Parse(file.read_text(), ModelConfig())


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.parent.name)
def test_every_configuration_is_one_and_streams_are_not_batched_by_triton(file: Path) -> None:
    config = config_in(file)

    assert config.name == file.parent.name
    assert bool(config.backend) != bool(config.platform)
    assert len(config.instance_group) == 1
    is_stream = config.model_transaction_policy.decoupled
    assert is_stream != config.HasField("dynamic_batching")
    assert is_stream == (config.max_batch_size == 0)
    assert all(size <= config.max_batch_size for size in preferred_sizes(config))


def preferred_sizes(config: ModelConfig) -> list[int]:
    return list(config.dynamic_batching.preferred_batch_size)


@pytest.mark.parametrize("backend", ["vllm", "onnxruntime_onnx", "tensorrt_plan", "python"])
def test_there_is_one_for_each_backend(backend: str) -> None:
    configs = [config_in(file) for file in CONFIGS]

    assert backend in {config.backend or config.platform for config in configs}


@pytest.mark.parametrize(
    ("name", "model", "parameters"),
    [
        ("engine", ENGINE, {"runner", "load", "piece_seconds", "expire_seconds"}),
        ("reader", READER, {"load", "expire_seconds"}),
    ],
)
def test_what_the_service_loads_is_what_the_repository_has(
    name: str, model: TritonModel, parameters: set[str]
) -> None:
    stored = config_in(REPOSITORY / name / "config.pbtxt")
    loaded = json_format.Parse(model.config_text(name, {}), ModelConfig())
    assert set(stored.parameters) == parameters
    assert json.loads(stored.parameters["load"].string_value)["device"] == "CPU"
    stored.ClearField("parameters")

    assert loaded == stored
    source = (REPOSITORY / name / "1" / "model.py").read_text("utf-8")
    assert model.source.decode().partition(" #")[0].strip() in source
