"""What inference reads from its environment."""

from pathlib import Path
from typing import Literal, Self

from modelmill_service_kit.settings import ServiceSettings
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict


class Settings(ServiceSettings):
    """As INFERENCE_<NAME>; engine settings hold for every version."""

    model_config = SettingsConfigDict(env_prefix="INFERENCE_", frozen=True)

    memory_bytes: int = Field(default=0, ge=0)
    """What all versions may hold together; 0 is what this process may use, less a twentieth."""

    max_loaded: int | None = Field(default=None, ge=1)
    """Versions loaded at a time at most; without it the memory decides alone."""

    idle_seconds: float = Field(default=900.0, gt=0)
    """How long a version is kept that nobody uses and no alias names; memory may want it sooner."""

    max_in_flight: int = Field(default=512, ge=1)
    """Requests per version, those included that wait for it to load or for their turn."""

    max_waiting: int = Field(default=256, ge=0)
    """Of these, those that wait for their turn at the engine."""

    admitted_tokens: int = Field(default=0, ge=0)
    """In flight per version, prompts and what answers may come to; 0 for what the cache holds."""

    deadline_seconds: float = Field(default=120.0, gt=0)
    """For callers who name none."""

    tokenizer_processes: int = Field(default=3, ge=3)
    """Processes in which chat templates and tokenizers run."""

    tokenizer_cpu_seconds: float = Field(default=1.0, gt=0)
    """CPU time that a chat template and tokenizer may take for a request; then they are stopped."""

    engine_device: str = "CPU"
    """OpenVINO device."""

    engine_cache_gigabytes: int = Field(default=1, ge=1)
    """Key-value cache of each version, taken as it is needed."""

    engine_max_sequences: int = Field(default=64, ge=1)
    """Answers that are generated together; what is more waits for its turn."""

    engine_prefix_cache: bool = True
    """Reuse what requests share at their beginning; safe because a build has one set of weights."""

    engine_prompt_lookup: bool = True
    """Draft by prompt lookup where a build's generation_config.json has `prompt_lookup_num_tokens`.

    Such a version takes the memory of its weights twice."""

    engine_threads: int = Field(default=0, ge=0)
    """Threads of each engine; 0 takes all cores."""

    engine_properties: dict[str, str] = Field(default_factory=dict)
    """OpenVINO properties as JSON, for example {"INFERENCE_PRECISION_HINT": "f32"}."""

    transformers_device: str = "auto"
    """Device of torch; auto is a GPU when there is one."""

    transformers_dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the weights while they run; auto is float32 on a CPU and bfloat16 on a GPU."""

    transformers_spare: bool = True
    """Keep a process with torch and transformers imported for the next model that they run."""

    engine_load_seconds: float = Field(default=300.0, gt=0)
    """An engine that has not loaded by then is given up."""

    engine_hang_seconds: float = Field(default=60.0, gt=0)
    """An engine with requests in hand that says nothing for this long is replaced."""

    engine_piece_seconds: float = Field(default=0.05, ge=0, le=1)
    """Of answers side by side, tokens after the first are gathered for this long, of one alone for
    25 ms at most; 0 is never."""

    vllm_url: str = ""
    """A vLLM server that serves one model, by the name of its artifact's folder."""

    vllm_key: SecretStr = SecretStr("")
    """Key of that server."""

    vllm_command: str = ""
    """Starts a vLLM server for a model, as `/opt/vllm/bin/python -m
    vllm.entrypoints.openai.api_server` does; arguments of its own may follow."""

    vllm_adapters: int = Field(default=4, ge=0)
    """Adapters that such a server mixes in one batch; 0 starts it without."""

    vllm_adapter_rank: int = 64
    """The highest rank that they may have, one of vLLM's: 8, 16, 32, 64, 128, 256."""

    triton_url: str = ""
    """Host and port of a Triton server's gRPC; empty: no model runs on one."""

    triton_token: SecretStr = SecretStr("")
    """What the server's restricted protocols want to be shown; empty: they are not restricted."""

    triton_roots: Path | None = None
    """Certificates (PEM) that the server's is checked against; None: the connection is open."""

    triton_forms: tuple[str, ...] = ("openvino-",)
    """Beginnings of the forms that go to the server; it sees the artifacts at the same path."""

    @model_validator(mode="after")
    def _one_vllm(self) -> Self:
        if self.vllm_url and self.vllm_command:
            raise ValueError("set INFERENCE_VLLM_URL or INFERENCE_VLLM_COMMAND, not both")
        return self
