"""Rivals with pins of their own: where their environments are, and what to say without one."""

from pathlib import Path

VLLM = Path("build/vllm")
LLAMA_CPP = Path("build/llama_cpp")
DATATROVE = Path("build/datatrove")
DATA_JUICER = Path("build/data_juicer")
MATCHERS = Path("build/matchers")
DOCUMENTS = Path("build/documents")
OPTIMUM = Path("build/optimum")
OLIVE = Path("build/olive")
LLM_COMPRESSOR = Path("build/llm_compressor")
MODELOPT = Path("build/modelopt")
INSTALLED = "installed"
"""The file that `make` puts into an environment when it is whole."""


def is_installed(environment: Path) -> bool:
    """Whether there is anything to measure beside us."""
    return (environment / INSTALLED).exists()


def absence(environment: Path) -> str:
    """What a line says instead of a figure."""
    return f"not measured: {environment} is not there; `make {environment}/{INSTALLED}` makes it"
