"""Forms that no engine here runs: what is said of them, and which engine runs them elsewhere."""

import pytest
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_inference.adapters.vllm import VllmKind
from modelmill_inference.adapters.vllm_server import VllmOptions
from modelmill_inference.engine_kinds import engine_kinds, missing_kinds
from modelmill_inference.find_engine import FindEngine
from modelmill_inference.settings import Settings
from modelmill_service_kit.errors import NotFoundError

from .fakes import FakeModels


def settings(**changes: object) -> Settings:
    given = {
        "nats_url": "nats://127.0.0.1:1",
        "nats_token": "t" * 32,
        "service_secret": "s" * 32,
        "artifact_root": "/nowhere",
    }
    return Settings.model_validate(given | changes)


def engine_of(form: str, given: Settings) -> str:
    find = FindEngine(FakeModels(), engine_kinds(given), missing_kinds(given))
    version = ModelReady(version_id="mv-out", tenant="acme", form=form)
    return find(version).kind.name


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("gguf-q8_0", "`ollama create NAME -f Modelfile`"),
        ("gguf-bf16", "mill models export"),
        ("tensorrt-engine", "`python build.py`"),
        ("compressed-tensors-int4", "INFERENCE_VLLM_COMMAND"),
    ],
)
def test_a_form_that_nothing_here_runs_is_not_found_with_what_runs_it(form: str, said: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        engine_of(form, settings())

    assert f"no engine runs '{form}'" in caught.value.message
    assert said in caught.value.message


def test_packed_weights_are_served_where_vllm_is_set_up() -> None:
    given = settings(vllm_command="python -m vllm.entrypoints.openai.api_server")

    assert engine_of("compressed-tensors-int8", given) == "vllm"
    with pytest.raises(NotFoundError, match="ollama"):
        engine_of("gguf-q8_0", given)


def test_no_adapter_runs_on_packed_weights() -> None:
    vllm = VllmKind(VllmOptions(url="http://127.0.0.1:1"))

    assert vllm.can_adapt("safetensors")
    assert not vllm.can_adapt("compressed-tensors-int8")
