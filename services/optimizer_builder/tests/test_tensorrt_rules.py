"""What TensorRT's forms refuse, and the plans of their engines."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from modelmill_jobs.errors import JobFailed
from modelmill_optimizer_builder.build_model import refuse_machine
from modelmill_optimizer_builder.domain.forms import FORMS, form_named
from modelmill_optimizer_builder.domain.tensorrt_plan import plan_errors, plan_of, trtexec_command
from modelmill_optimizer_builder.tensorrt import build

GRAPH: dict[str, list[int | str]] = {
    "input_ids": ["sequences", "tokens"],
    "attention_mask": ["sequences", "total"],
    "past_key_values.0.key": ["sequences", 2, "past", 16],
}


def plan(context_tokens: int = 512) -> dict[str, Any]:
    return plan_of(GRAPH, onnx="model.onnx", context_tokens=context_tokens)


def test_an_engine_is_refused_before_any_work_with_what_the_machine_lacks() -> None:
    with pytest.raises(JobFailed) as caught:
        refuse_machine("tensorrt-engine", lambda: ["no NVIDIA driver", "no Python module tensorrt"])

    assert caught.value.code == "MISSING_RUNTIME"
    assert "no NVIDIA driver and no Python module tensorrt" in caught.value.message
    assert "tensorrt-onnx" in caught.value.remedy
    refuse_machine("tensorrt-engine", list)


def test_no_other_form_looks_for_a_gpu() -> None:
    def asked() -> list[str]:
        raise AssertionError

    for name in set(FORMS) - {"tensorrt-engine"}:
        refuse_machine(name, asked)


@pytest.mark.parametrize("kind", ["qwen3_moe", "deepseek_v3", "mamba", None])
def test_an_architecture_that_was_not_tried_is_refused_by_name(kind: str | None) -> None:
    said = form_named("tensorrt-onnx").refusal({"model_type": kind})

    assert f"of type {kind}" in said
    assert "llama" in said


def test_rotary_positions_that_depend_on_the_length_are_refused_by_name() -> None:
    long = {"model_type": "phi3", "rope_scaling": {"type": "su"}}

    assert "of type longrope depend on the length" in form_named("tensorrt-onnx").refusal(long)
    assert form_named("tensorrt-onnx").refusal({"model_type": "phi3"}) == ""


def test_a_plan_reads_prompts_and_then_a_token_at_a_time() -> None:
    prompt, token = plan()["profiles"]

    assert prompt["shapes"]["input_ids"] == {"min": [1, 1], "opt": [1, 128], "max": [8, 512]}
    assert token["shapes"]["input_ids"]["max"] == [8, 1]
    assert prompt["shapes"]["past_key_values.0.key"]["min"] == [1, 2, 0, 16]
    assert token["shapes"]["past_key_values.0.key"]["max"] == [8, 2, 511, 16]
    assert token["shapes"]["attention_mask"]["max"] == [8, 512]


@pytest.mark.parametrize("context_tokens", [2, 64, 512, 4096, 131_072])
def test_a_plan_fits_its_graph_whatever_the_context(context_tokens: int) -> None:
    assert plan_errors(plan(context_tokens), GRAPH) == []


def test_a_plan_that_does_not_fit_is_told_with_input_and_dimension() -> None:
    changed = plan()
    changed["profiles"][0]["shapes"]["input_ids"]["min"] = [1, 600]
    changed["profiles"][1]["shapes"]["past_key_values.0.key"]["opt"] = [1, 3, 8, 16]

    assert plan_errors(changed, GRAPH) == [
        "input_ids of profile prompt: dimension 1 falls: [600, 128, 512]",
        "past_key_values.0.key of profile token: dimension 1 is 2 in the graph, not [2, 3, 2]",
    ]
    assert plan_errors(plan(), GRAPH | {"position_ids": ["sequences", "tokens"]}) == [
        f"profile {name} and the graph differ in position_ids" for name in ("prompt", "token")
    ]


def test_the_command_has_both_profiles_with_all_bounds() -> None:
    words = shlex.split(trtexec_command(plan()))

    assert words[:4] == [
        *("trtexec", "--onnx=model.onnx", "--saveEngine=model.engine", "--stronglyTyped"),
    ]
    assert [word for word in words if word.startswith("--profile")] == [
        "--profile=0",
        "--profile=1",
    ]
    shapes = "input_ids:1x1,attention_mask:1x1,past_key_values.0.key:1x2x0x16"
    assert f"--minShapes={shapes}" in words


@pytest.mark.tier("test")
def test_the_script_says_what_is_missing_where_no_engine_can_be_built(tmp_path: Path) -> None:
    if not (lacking := build.missing_for_engines()):
        pytest.fail("this machine builds engines: run make gpu-check here")
    (tmp_path / "build.py").write_bytes(Path(build.__file__).read_bytes())

    done = subprocess.run(
        [sys.executable, tmp_path / "build.py"], capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 2
    assert done.stderr.strip() == f"no engine can be built here: {', '.join(lacking)}"
