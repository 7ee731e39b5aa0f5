"""What inference reads from its environment."""

from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict
from service_kit.settings import ServiceSettings


class Settings(ServiceSettings):
    """As INFERENCE_<NAME>; engine settings hold for every version."""

    model_config = SettingsConfigDict(env_prefix="INFERENCE_", frozen=True)

    max_loaded: int = Field(default=4, ge=1)
    """Versions loaded at a time; the least recently used idle one makes room."""

    max_in_flight: int = Field(default=64, ge=1)
    """Requests per version; one more is refused at once."""

    engine_device: str = "CPU"
    """OpenVINO device."""

    engine_cache_gigabytes: int = Field(default=1, ge=1)
    """Key-value cache of each version, taken as it is needed."""

    engine_max_sequences: int = Field(default=64, ge=1)
    """Requests that are generated together; more wait inside the engine."""

    engine_prefix_cache: bool = True
    """Reuse what requests share at their beginning; safe because a build has one set of weights."""

    engine_threads: int = Field(default=0, ge=0)
    """Threads of each engine; 0 takes all cores."""

    engine_properties: dict[str, str] = Field(default_factory=dict)
    """OpenVINO properties as JSON, for example {"INFERENCE_PRECISION_HINT": "f32"}."""

    engine_load_seconds: float = Field(default=300.0, gt=0)
    """An engine that has not loaded by then is given up."""

    engine_hang_seconds: float = Field(default=60.0, gt=0)
    """An engine with requests in hand that says nothing for this long is replaced."""

    engine_piece_seconds: float = Field(default=0.05, ge=0, le=1)
    """Of answers side by side, tokens after the first are gathered for this long, of one alone for
    25 ms at most; 0 is never."""

    vllm_url: str = ""
    """A vLLM server that serves one model, by the name of its artifact's folder; and its key."""

    vllm_key: SecretStr = SecretStr("")

    vllm_command: str = ""
    """Starts a vLLM server for a model, as `/opt/vllm/bin/python -m
    vllm.entrypoints.openai.api_server` does; arguments of its own may follow."""

    vllm_adapters: int = Field(default=4, ge=0)
    """Adapters that such a server mixes in one batch; 0 starts it without."""

    vllm_adapter_rank: int = 64
    """The highest rank that they may have, one of vLLM's: 8, 16, 32, 64, 128, 256."""

    @model_validator(mode="after")
    def _one_vllm(self) -> Self:
        if self.vllm_url and self.vllm_command:
            raise ValueError("set INFERENCE_VLLM_URL or INFERENCE_VLLM_COMMAND, not both")
        return self
