"""forms.rival.*: int4 of the same merged model by other tools, each in an environment of its own.

optimum: `optimum-cli export openvino --weight-format int4`, and that groups fit the model: without
it the command refuses, since its groups of 128 do not divide the model's width. llm_compressor:
GPTQ (W4A16, in groups of 32, for the same reason), 256 training rows. modelopt: INT4_AWQ in blocks
of 32, by 32 of these rows, as many as ours reads. olive: what `olive optimize --precision int4`
plans for the CPU, GPTQ by the 256 rows in place of WikiText, which it would fetch, and in groups of
32, without which it fails.

What runs in OpenVINO or ONNX Runtime is asked the test rows by our own scorer, as our forms are;
what is safetensors by its own library in torch, in bfloat16's place float32. Bytes are those of the
weights' files, with a model's graph where it has one.
"""

import json
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.child_steps import Told, run_steps
from tests.bench.forms_cells import ONNX, OPENVINO, REFUSED
from tests.bench.forms_model import CALIBRATION_ROWS, FormsModel
from tests.bench.kept_cells import AbsentError
from tests.bench.rivals import LLM_COMPRESSOR, MODELOPT, OLIVE, OPTIMUM, absence, is_installed
from tests.bench.worker import WorkerFailedError

CHILD = "tests.bench.forms_child"
TORCH_SCRIPT = "tests/bench/rival_forms_torch.py"
OFFLINE = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "ORT_DISABLE_TELEMETRY": "1"}
LAST_CHARACTERS = 600
FOR_GPTQ = {"data_config": "rows", "group_size": 32}
"""Of Olive: its plan says neither, and its groups of 128 do not divide the model's width."""
CALIBRATION_TOKENS = 256
"""Of a row at most, as `rival_forms_torch` has it."""


@dataclass(frozen=True)
class FormRival:
    """A tool that makes int4 weights."""

    what: str
    """Its command, for a note."""
    environment: Path
    make: Callable[["FormRival", FormsModel, Path, Told], Awaitable[dict[str, Any]]]


async def rival_result(name: str, model: FormsModel, folder: Path, told: Told) -> dict[str, Any]:
    """Bytes, score and seconds; or what it said when it refused.

    Args:
        folder: Scratch of its own; made anew.

    Raises:
        AbsentError: It is not installed.
    """
    rival = FORM_RIVALS[name]
    if not is_installed(rival.environment):
        raise AbsentError(absence(rival.environment))
    _made_anew(folder)
    try:
        made = await rival.make(rival, model, folder, told)
    except WorkerFailedError as error:
        return {"what": rival.what, REFUSED: f"{rival.what}: {str(error)[-LAST_CHARACTERS:]}"}
    correct, labels = made.pop("correct"), made.pop("labels")
    return {
        "what": rival.what,
        "rows": len(correct),
        "accuracy": sum(correct) / len(correct),
        "label_log_likelihood": sum(labels) / len(labels),
        "correct": correct,
        **made,
    }


def _made_anew(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


async def _optimum(rival: FormRival, model: FormsModel, folder: Path, told: Told) -> dict[str, Any]:
    out = folder / "out"
    arguments = ("openvino", "--model", str(model.merged), "--task", "text-generation-with-past")
    return await _made_by_command(
        (str(rival.environment / "bin/optimum-cli"),),
        "export",
        (*arguments, "--weight-format", "int4", "--group-size-fallback", "adjust", str(out)),
        lambda: _scored(OPENVINO, out, out.glob("openvino_model.*"), model, folder, told),
        told,
    )


async def _olive(rival: FormRival, model: FormsModel, folder: Path, told: Told) -> dict[str, Any]:
    out, plan, command = folder / "out", folder / "plan", (str(rival.environment / "bin/olive"),)
    arguments = ("--model_name_or_path", str(model.merged), "--precision", "int4")
    device = ("--device", "cpu", "--provider", "CPUExecutionProvider")
    dry_run = ("--dry_run", "--output_path", str(plan))
    await run_steps("optimize", (*arguments, *device, *dry_run), told, command, OFFLINE)
    config = folder / "config.json"
    planned = json.loads((plan / "config.json").read_text())
    own = {"no_artifacts": False, "cache_dir": str(folder / "cache")}
    config.write_text(json.dumps(_with_rows(planned, model) | own))

    async def scored() -> dict[str, Any]:
        found = sorted(out.rglob("genai_config.json"))
        if not found:
            raise WorkerFailedError(f"no genai_config.json among {sorted(out.rglob('*'))[:20]}")
        built = found[0].parent
        return await _scored(ONNX, built, built.glob("*.onnx*"), model, folder, told)

    ordered = ("--config", str(config), "--output_path", str(out))
    return await _made_by_command(command, "run", ordered, scored, told)


def _with_rows(plan: dict[str, Any], model: FormsModel) -> dict[str, Any]:
    """Olive's plan, with training rows for its GPTQ, which would fetch WikiText."""
    rows = {
        "name": "rows",
        "type": "HuggingfaceContainer",
        "model_name": str(model.merged),
        "task": "text-generation",
        "load_dataset_config": {
            "data_name": "json",
            "data_files": str(model.dataset / "train.jsonl"),
            "split": "train",
        },
        "pre_process_data_config": {
            "chat_template": True,
            "strategy": "line-by-line",
            "add_special_tokens": False,
            "pad_to_max_len": False,
            "max_seq_len": CALIBRATION_TOKENS,
            "max_samples": CALIBRATION_ROWS,
        },
    }
    passes = {
        name: one | (FOR_GPTQ if one["type"] == "Gptq" else {})
        for name, one in plan["passes"].items()
    }
    return plan | {"data_configs": [rows], "passes": passes}


async def _made_by_command(
    command: tuple[str, ...],
    module: str,
    arguments: tuple[str, ...],
    scored: Callable[[], Awaitable[dict[str, Any]]],
    told: Told,
) -> dict[str, Any]:
    started = time.perf_counter()
    await run_steps(module, arguments, told, command, OFFLINE)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, **await scored()}


async def _scored(
    engine: str, built: Path, files: Any, model: FormsModel, folder: Path, told: Told
) -> dict[str, Any]:
    result = folder / "scores.json"
    arguments = ("score", engine, str(built), str(model.questions), str(result))
    await run_steps(CHILD, arguments, told)
    return {"bytes": sum(path.stat().st_size for path in files), **json.loads(result.read_text())}


def _by_torch(tool: str) -> Callable[..., Awaitable[dict[str, Any]]]:
    """A tool that is a library, whose weights torch reads."""

    async def make(rival: FormRival, model: FormsModel, folder: Path, told: Told) -> dict[str, Any]:
        result = folder / "result.json"
        files = (str(model.merged), str(model.questions), str(folder / "out"), str(result))
        # Not the script's folder on the path: modules of the bench are named like libraries.
        command = (str(rival.environment / "bin/python"), "-P")
        await run_steps(TORCH_SCRIPT, (tool, *files), told, command, OFFLINE)
        found: dict[str, Any] = json.loads(result.read_text())
        return found

    return make


FORM_RIVALS: Mapping[str, FormRival] = {
    "optimum": FormRival(
        "optimum-cli export openvino --weight-format int4 --group-size-fallback adjust",
        OPTIMUM,
        _optimum,
    ),
    "olive": FormRival("olive optimize --precision int4 --device cpu", OLIVE, _olive),
    "llm_compressor": FormRival(
        "llm-compressor GPTQ, W4A16 in groups of 32", LLM_COMPRESSOR, _by_torch("llm_compressor")
    ),
    "modelopt": FormRival("ModelOpt INT4_AWQ in blocks of 32", MODELOPT, _by_torch("modelopt")),
}
