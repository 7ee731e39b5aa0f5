"""Build plans for TensorRT: which shapes an engine of a graph takes, and what builds it.

A plan is data, so that it can be read, checked and changed where no GPU is.
"""

import shlex
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from modelmill_optimizer_builder.domain.rotary_positions import ROPE_LONG, rope_type_of

SCHEMA = 1
PLAN = "tensorrt_plan.json"
ENGINE = "model.engine"
MOST_SEQUENCES = 8
USUAL_PROMPT, MOST_PROMPT, USUAL_PAST = 128, 1024, 512
WORKSPACE_BYTES = 4 << 30
BOUNDS = ("min", "opt", "max")

Graph = Mapping[str, Sequence[int | str]]
"""Inputs of a decoder by name: sizes of their dimensions, or the names of those that vary."""
Shapes = Mapping[str, Mapping[str, Sequence[int]]]
"""Inputs by name: the smallest, usual and largest shape of each."""
SEQUENCES, TOKENS, PAST, TOTAL = "sequences", "tokens", "past", "total"
"""Dimensions that vary: texts at once, new tokens of each, tokens in the cache, and both."""


def tensorrt_refusal(config: Mapping[str, Any]) -> str:
    """Why a model cannot be written for TensorRT; empty if it can."""
    if config.get("model_type") not in MODEL_TYPES:
        return f"of {', '.join(MODEL_TYPES)} alone a graph of standard operators was tried"
    if rope_type_of(config) == ROPE_LONG:
        return (
            f"its rotary positions of type {ROPE_LONG} depend on the length of a text, and torch's "
            "exporter writes no graph of such"
        )
    return ""


MODEL_TYPES = ("gemma3_text", "llama", "phi3", "qwen2", "qwen3")
"""Decoders of text whose graph was seen to compute what torch does."""


def plan_of(graph: Graph, *, onnx: str, context_tokens: int) -> dict[str, Any]:
    """The plan of a decoder: one profile reads prompts, the other a token at a time."""
    most_prompt = min(MOST_PROMPT, context_tokens)
    usual_prompt = min(USUAL_PROMPT, most_prompt)
    most_past = context_tokens - 1
    usual_past = min(USUAL_PAST, most_past)
    profiles = {
        "prompt": {
            SEQUENCES: (1, 1, MOST_SEQUENCES),
            TOKENS: (1, usual_prompt, most_prompt),
            PAST: (0, 0, most_past),
            TOTAL: (1, usual_prompt, context_tokens),
        },
        "token": {
            SEQUENCES: (1, 1, MOST_SEQUENCES),
            TOKENS: (1, 1, 1),
            PAST: (1, usual_past, most_past),
            TOTAL: (2, usual_past + 1, context_tokens),
        },
    }
    return {
        "schema": SCHEMA,
        "onnx": onnx,
        "engine": ENGINE,
        "precision": "bf16",
        "strongly_typed": True,
        "needs": {"tensorrt": ">=10", "compute_capability": ">=8.0"},
        "context_tokens": context_tokens,
        "workspace_bytes": WORKSPACE_BYTES,
        "profiles": [
            {"name": name, "shapes": _shapes(graph, sizes)} for name, sizes in profiles.items()
        ],
    }


def _shapes(graph: Graph, sizes: Mapping[str, Sequence[int]]) -> dict[str, dict[str, list[int]]]:
    return {
        name: {
            bound: [size if isinstance(size, int) else sizes[size][place] for size in dimensions]
            for place, bound in enumerate(BOUNDS)
        }
        for name, dimensions in graph.items()
    }


def plan_errors(plan: Mapping[str, Any], graph: Graph) -> list[str]:
    """What TensorRT would refuse of a plan for a graph with these inputs."""
    errors = []
    for profile in plan["profiles"]:
        shapes: Shapes = profile["shapes"]
        if shapes.keys() != graph.keys():
            names = sorted(shapes.keys() ^ graph.keys())
            errors.append(f"profile {profile['name']} and the graph differ in {', '.join(names)}")
            continue
        for name, dimensions in graph.items():
            errors += [
                f"{name} of profile {profile['name']}: {why}"
                for why in _shape_errors(shapes[name], dimensions)
            ]
    return errors


def _shape_errors(shape: Mapping[str, Sequence[int]], dimensions: Sequence[int | str]) -> list[str]:
    if any(len(shape[bound]) != len(dimensions) for bound in BOUNDS):
        return [f"it has {len(dimensions)} dimensions in the graph"]
    errors = []
    for place, size in enumerate(dimensions):
        given = [shape[bound][place] for bound in BOUNDS]
        if isinstance(size, int) and set(given) != {size}:
            errors.append(f"dimension {place} is {size} in the graph, not {given}")
        elif any(low > high for low, high in pairwise([0, *given])):
            errors.append(f"dimension {place} falls: {given}")
    return errors


def trtexec_command(plan: Mapping[str, Any]) -> str:
    """The same build by NVIDIA's command-line tool, as a line for a shell."""
    words = ["trtexec", f"--onnx={plan['onnx']}", f"--saveEngine={plan['engine']}"]
    words += ["--stronglyTyped", f"--memPoolSize=workspace:{plan['workspace_bytes'] >> 20}M"]
    for number, profile in enumerate(plan["profiles"]):
        words.append(f"--profile={number}")
        for bound in BOUNDS:
            shapes = (
                f"{name}:{'x'.join(map(str, shape[bound]))}"
                for name, shape in profile["shapes"].items()
            )
            words.append(f"--{bound}Shapes={','.join(shapes)}")
    return shlex.join(words)
