"""What inference reads from its environment."""

from pathlib import Path

from pydantic import Field, SecretStr
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
    """Of answers side by side, tokens after the first are gathered for this long; 0 is never."""

    triton_url: str = ""
    """Host and port of a Triton server's gRPC; empty: no model runs on one."""

    triton_token: SecretStr = SecretStr("")
    """What the server's restricted protocols want to be shown; empty: they are not restricted."""

    triton_roots: Path | None = None
    """Certificates (PEM) that the server's is checked against; None: the connection is open."""

    triton_forms: tuple[str, ...] = ("openvino-",)
    """Beginnings of the forms that go to the server; it sees the artifacts at the same path."""
