"""edge: edge bundles of SmolLM2-135M, each in an environment of its runtime alone.

    python -m tests.bench.edge [--only onnx-int8 ...] [--keep]

The optimizer-builder's own code makes a build of the demo's base model, and what `mill models
export --bundle` calls makes a bundle of it. Its own `bench.py` measures it, and its `run.py`
answers, in a virtual environment without torch and transformers, with nothing of the checkout.

`edge.size_mb`: of the bundle as `.tar.zst`; beside it that of the folder.
`edge.tokens_per_s`: one greedy request of 64 tokens in flight, the median of six rounds.
`edge.answers_alone`: whether it answered there, read most golden prompts as in training, and had
imported neither torch nor transformers. These are of onnx-int8; others have their form behind the
id. `--keep` writes deploy/bench/forms.json.
"""

import argparse
import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelmill_cli.edge_bundle import write_bundle
from modelmill_registry.store import FolderStore
from modelmill_testkit.runtime_environment import environment_of, without_checkout

from tests.bench.built_model import BASE_RECIPE
from tests.bench.figures import Entry
from tests.bench.harness import WORK_FOLDER
from tests.bench.kept_entries import run_groups

RESULT = Path("deploy/bench/forms.json")
RUNTIMES = {
    "onnx-int8": "onnxruntime-genai",
    "openvino-int8": "openvino-genai",
}
"""Package of the runtime, by form."""
USUAL = "onnx-int8"
QUESTION = "What is an otter?"
CONTEXT_TOKENS = 2048
SECONDS = 1800.0


def measured(form: str) -> list[Entry]:
    """A bundle's entries."""
    with tempfile.TemporaryDirectory(prefix="edge-", dir=WORK_FOLDER) as place:
        root = Path(place)
        base, build = _base(), root / "build"
        _run([sys.executable, "-m", "tests.bench.edge", "--build", form, base, build])
        store = FolderStore(root / "artifacts")
        facts = {"context_tokens": CONTEXT_TOKENS}
        digest = store.commit(build, kind="model", form=form, attributes=facts).digest
        model = {"id": "mv-edge", "name": "smollm2-135m", "form": form, "digest": digest}
        folder = write_bundle(store, model, root / "smollm2")
        archive = write_bundle(store, model, root / "smollm2.tar.zst")
        alone = environment_of(root / "venv", RUNTIMES[form])
        found = json.loads(_run([alone, folder.path / "bench.py"]))
        text = _run([alone, folder.path / "run.py", QUESTION])
    otherwise = found["read_otherwise"]
    most_alike = 2 * len(otherwise) <= found["prompts"]
    answers = bool(text.strip()) and most_alike and not found["modules"]
    low, high = found["tokens_per_s_range"]
    speed, size = found["tokens_per_s"], archive.bytes / 1e6
    note = f"{low} to {high}; first token after {found['first_token_ms']} ms"
    read = f"of {found['prompts']} golden prompts read otherwise than in training: "
    read += f"{', '.join(otherwise) or 'none'}; in sys.modules of torch and transformers: "
    read += ", ".join(found["modules"]) or "neither"
    own = "" if form == USUAL else f".{form}"
    unpacked = f"the folder has {folder.bytes / 1e6:.1f} MB"
    return [
        _entry(f"edge.size_mb{own}", size, "MB", unpacked),
        _entry(f"edge.tokens_per_s{own}", speed, "tokens/s", note, (low / speed, high / speed)),
        _entry(f"edge.answers_alone{own}", int(answers), "of 1", read, is_met=answers),
    ]


def _entry(
    name: str,
    value: float,
    unit: str,
    note: str,
    range_of_ratio: tuple[float, float] = (1.0, 1.0),
    *,
    is_met: bool | None = None,
) -> Entry:
    goal = "" if is_met is None else "= 1"
    return Entry(name, value, unit, "no rival", 1.0, goal, is_met, range_of_ratio, note)


def _base() -> Path:
    """The demo's base model, made once."""
    folder = WORK_FOLDER / "edge-base"
    if not folder.exists():
        WORK_FOLDER.mkdir(parents=True, exist_ok=True)
        _run([sys.executable, BASE_RECIPE, folder])
    return folder


def _run(command: Sequence[object]) -> str:
    env = without_checkout()
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, timeout=SECONDS, env=env
    )
    if done.returncode > 1:  # 1: a prompt is read otherwise
        raise SystemExit(f"{command[0]} {command[1]}: {done.stderr[-2000:]}")
    return done.stdout


def build(form: str, base: Path, target: Path) -> None:
    """Make a build; the process that imports torch."""
    from modelmill_optimizer_builder.adapters.no_telemetry import forbid_telemetry

    forbid_telemetry()
    from modelmill_optimizer_builder.child import load_form
    from modelmill_optimizer_builder.make_build import FormRequest, Source
    from modelmill_tokenization.chat_tokenizer import ChatTokenizer

    turns: list[Any] = [{"role": "user", "content": QUESTION}]
    prompt = ChatTokenizer.load(base).encode_prompt(turns)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        load_form(form).make(
            FormRequest(Source(base, None), [prompt], Path(scratch), target, lambda *_told: None)
        )


def main() -> int:
    """Measure, or make one build for that."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--build", nargs=3)
    given, _ = parser.parse_known_args()
    if given.build:
        form, base, target = given.build
        build(form, Path(base), Path(target))
        return 0
    groups = {form: functools.partial(measured, form) for form in RUNTIMES}
    return run_groups("tests.bench.edge", groups, RESULT)


if __name__ == "__main__":
    sys.exit(main())
