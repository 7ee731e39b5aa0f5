"""`make gpu-check`: training and serving on this machine's GPU, with what can be imported here.

    python3 -m tests.gpu_check [--device cpu] [--base FOLDER] [--keep]

Needs no network and no installation: a copy of the tree, Python 3.11 or later, and torch. Says
which libraries cannot be imported and which parts that leaves out. Without a GPU it runs with
`--device cpu` alone, which proves the program and nothing of a GPU. Results go to
build/gpu_check.json; with `--keep` those of a GPU go to deploy/gpu/last.json, too.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests import run_record
from tests.gpu_check.parts import PARTS

ROOT = Path(__file__).resolve().parents[2]
RESULT, KEPT = ROOT / "build/gpu_check.json", ROOT / "deploy/gpu/last.json"
LIBRARIES = (
    *("torch", "transformers", "peft", "bitsandbytes", "deepspeed", "accelerate", "vllm"),
    "tensorrt",
)
PART_SECONDS, IMPORT_SECONDS = 900.0, 300.0
CARD = (
    "import torch, json; there = torch.cuda.is_available(); "
    "it = torch.cuda.get_device_properties(0) if there else None; "
    "print(json.dumps({'card': it.name, 'memory_bytes': it.total_memory} if there else None))"
)


def main() -> int:
    """Run all parts; 1 when a goal was missed, 2 when there is no GPU."""
    asked = _arguments()
    environment = _environment(asked.device)
    missing = {
        name: why for name in LIBRARIES if (why := _import_error(f"import {name}", environment))
    }
    for name, why in missing.items():
        print(f"cannot import {name}: {why}")
    card = None if "torch" in missing else _card(environment)
    if card is None and asked.device != "cpu":
        print("no GPU here: torch finds none. --device cpu tries the program itself")
        return 2
    document = run_record.circumstances(LIBRARIES) | {
        "device": card or {"card": "none: the processor"},
        "not_importable": missing,
        "entries": [],
        "not_run": {},
    }
    for name in PARTS:
        _run(name, asked.base, environment, document)
        run_record.save(document, RESULT)
    problems = [entry["id"] for entry in document["entries"] if not entry["met"]]
    problems += [
        f"{name} failed" for name, why in document["not_run"].items() if "import" not in why
    ]
    if asked.keep:
        problems += [] if card else ["no GPU"]
        run_record.keep(document, problems, KEPT)
    return 1 if problems else 0


def _run(name: str, base: str, environment: dict[str, str], document: dict[str, Any]) -> None:
    """Run a part in a process of its own, and add what it said to the document."""
    with tempfile.TemporaryDirectory(prefix="modelmill-gpu-") as folder:
        command = [
            sys.executable,
            "-m",
            "tests.gpu_check.parts",
            name,
            folder,
            *([base] if base else []),
        ]
        said = _said(command, environment, PART_SECONDS)
    lines = said.stdout.splitlines()
    if said.returncode or not lines:
        words = said.stderr.strip().splitlines() or ["it said nothing"]
        document["not_run"][name] = f"status {said.returncode}: {words[-1]}"
        print(said.stderr[-4000:], file=sys.stderr)
    else:
        outcome = json.loads(lines[-1])
        document["entries"] += outcome.get("entries", [])
        if "not_run" in outcome:
            document["not_run"][name] = outcome["not_run"]
    for entry in document["entries"]:
        if entry["id"].split(".")[1] == name:
            verdict = "ok  " if entry["met"] else "MISS"
            print(
                f"{verdict} {entry['id']}: {entry['value']:.4g} {entry['unit']} ({entry['note']})"
            )
    if name in document["not_run"]:
        print(f"--   {name}: {document['not_run'][name]}")


def _said(
    command: list[str], environment: dict[str, str], seconds: float
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no end within {seconds:g} s")


def _import_error(statement: str, environment: dict[str, str]) -> str:
    """Why it cannot be imported; empty when it can."""
    done = _said([sys.executable, "-c", statement], environment, IMPORT_SECONDS)
    words = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
    return words[-1] if done.returncode else ""


def _card(environment: dict[str, str]) -> dict[str, Any] | None:
    done = _said([sys.executable, "-c", CARD], environment, IMPORT_SECONDS)
    found: dict[str, Any] | None = json.loads(done.stdout.splitlines()[-1])
    return found


def _environment(device: str) -> dict[str, str]:
    """The tree's own sources before what is installed; nothing is fetched."""
    sources = sorted([*ROOT.glob("libs/*/src"), *ROOT.glob("services/*/src")])
    given = os.environ.get("PYTHONPATH", "")
    own = {
        "PYTHONPATH": os.pathsep.join([*map(str, sources), *([given] if given else [])]),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TQDM_DISABLE": "1",
    }
    return os.environ | own | ({"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu_check", description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument(
        "--base", default="", help="a model's folder; by default a tiny one is made"
    )
    parser.add_argument("--keep", action="store_true", help="also write deploy/gpu/last.json")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
