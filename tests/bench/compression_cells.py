"""What compression.* cuts away, teaches, builds and serves, and how long each cell takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.forms_cells import IN_FLIGHT, SOURCES
from tests.bench.kept_cells import Cell

WHOLE, DISTILLED = "whole", "distilled"
PRUNED, RECOVERED, BUILT, ONNX_BUILT = "pruned", "recovered", "built", "onnx"
EXITS = "exits"
INT8, ONNX_INT8 = "openvino-int8", "onnx-int8"
TRAINER = Path("services/trainer/src")
RECIPE = Path("libs/recipes/src/modelmill_recipes/recipe.py")
COMPRESSION_SOURCES = (*SOURCES, TRAINER, RECIPE)
SUPPORT_ROWS = 64
EXIT_LAYERS = (10, 15, 20, 25)
"""Of the 30 of the model."""
TIMED_ROWS = 200


@dataclass(frozen=True)
class Shape:
    """What is cut away, and what may be lost of it after training."""

    name: str
    pruning: Mapping[str, Any]
    most_points: float | None = None
    """Goal: the upper bound of the points lost."""


SHAPES = (
    Shape("heads", {"heads": 1 / 3}, most_points=3.0),
    Shape("width", {"mlp": 0.52}, most_points=5.0),
    Shape("layers", {"layers": 6}),
    Shape("combined", {"heads": 1 / 3, "mlp": 0.3, "layers": 3}),
)
"""Of 134.5 million parameters `heads` takes 7 %, `width` 31, `layers` 16 and `combined` 29."""


@dataclass(frozen=True)
class Student:
    """A model that learns from the whole one."""

    name: str
    shape: str
    """Name of the pruned model it begins as; empty for the base, unpruned and untuned."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """What differs from the defaults of a recipe that prunes."""
    seconds: float = 1500.0


STUDENTS = (
    *(Student(shape.name, shape.name) for shape in SHAPES),
    Student("width.texts", "width", {"teacher_texts": 256}),
    Student("width.lora", "width", {"method": "lora"}),
    Student(DISTILLED, ""),
)
BUILDS = (WHOLE, *(shape.name for shape in SHAPES), DISTILLED)
"""Whose int8 builds are made and served."""


def cells() -> list[Cell]:
    """All, in the order in which they are done."""
    return [
        Cell("model", 400.0),
        *(Cell(f"{PRUNED}.{shape.name}", 300.0) for shape in SHAPES),
        *(Cell(f"{RECOVERED}.{one.name}", one.seconds) for one in STUDENTS),
        Cell(EXITS, 900.0),
        *(Cell(f"{BUILT}.{name}", 300.0) for name in BUILDS),
        *(Cell(f"{ONNX_BUILT}.{name}", 120.0) for name in BUILDS),
        *(Cell(f"served.{count}", 240.0) for count in IN_FLIGHT),
    ]
