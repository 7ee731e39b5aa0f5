"""The program of the GPU check, tried on the processor: it proves nothing of a GPU."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COPIED = ("tests/__init__.py", "tests/run_record.py", "tests/gpu_check")
SECONDS = 1800
"""At most; two minutes on two idle cores."""


def copied_tree(folder: Path) -> Path:
    """What somebody takes to a machine without network: sources, no repository."""
    for source in [*ROOT.glob("libs/*/src"), *ROOT.glob("services/*/src")]:
        shutil.copytree(source, folder / source.relative_to(ROOT))
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (folder / name).parent.mkdir(exist_ok=True)
        copy(ROOT / name, folder / name)
    return folder


def check(tree: Path, *arguments: str, without: str = "") -> tuple[int, str]:
    """Run it in a tree; a library named in `without` cannot be imported there."""
    if without:
        (tree / "absent").mkdir()
        (tree / "absent" / f"{without}.py").write_text("raise ImportError('absent')")
    done = subprocess.run(
        [sys.executable, "-m", "tests.gpu_check", *arguments],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree / "absent"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.timeout(SECONDS)
def test_every_part_runs_on_the_processor_from_a_copy_of_the_tree(tmp_path: Path) -> None:
    tree = copied_tree(tmp_path)

    status, said = check(tree, "--device", "cpu", without="vllm")

    assert status == 0, said
    document = json.loads((tree / "build" / "gpu_check.json").read_text())
    assert document["device"] == {"card": "none: the processor"}
    absent = "No module named 'tensorrt'"
    assert document["not_importable"] == {
        "vllm": "ImportError: absent",
        "tensorrt": f"ModuleNotFoundError: {absent}",
    }
    assert document["not_run"] == {
        "vllm": "cannot import: absent",
        "tensorrt": f"cannot import: {absent}",
    }
    assert [entry["id"] for entry in document["entries"]] == [
        *("gpu.lora", "gpu.lora.parity", "gpu.qlora", "gpu.qlora.parity"),
        *("gpu.zero3", "gpu.resume", "gpu.engine"),
    ]
    assert all(entry["met"] for entry in document["entries"])
    assert not (tree / "deploy").exists()


def test_a_machine_without_a_gpu_is_told_so(tmp_path: Path) -> None:
    status, said = check(copied_tree(tmp_path), without="torch")

    assert status == 2
    assert "cannot import torch: ImportError: absent" in said
    assert "no GPU here" in said
