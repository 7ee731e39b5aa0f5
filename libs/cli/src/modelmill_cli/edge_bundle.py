"""Edge bundles: a build, and what answers with it where no Modelmill is."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from modelmill_evaluation.parity.goldens import Goldens
from modelmill_registry.manifest import Manifest
from modelmill_registry.materialised import in_use
from modelmill_registry.model_card import licence_of
from modelmill_registry.store import ArtifactStore
from modelmill_service_kit.errors import InvalidInputError, NotFoundError, PreconditionError
from modelmill_tokenization.bounded.here import BoundedTokenizer

from modelmill_cli.model_export import export_model

ARCHIVE = ".tar.zst"
EDGE = Path(__file__).parent / "edge"
LICENCES = ("LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*")
CHECK_SECONDS = 900.0


@dataclass(frozen=True)
class EdgeRuntime:
    """What runs the builds of a form, and what is known of it elsewhere."""

    name: str
    module: str
    prefix: str
    """Of the forms' names, and of its files in `edge`."""
    arm64: str
    jetson: str


RUNTIMES = (
    EdgeRuntime(
        "ONNX Runtime GenAI",
        "onnxruntime_genai",
        "onnx",
        "Microsoft publishes wheels of both packages.",
        "that needs another build of ONNX Runtime GenAI (CUDA), and a model made for it.",
    ),
    EdgeRuntime(
        "OpenVINO GenAI",
        "openvino_genai",
        "openvino",
        "Intel publishes wheels; int4 weights are slower there than on x86-64.",
        "OpenVINO knows no GPU of NVIDIA. A form `onnx-int8` or `onnx-int4` is the better choice.",
    ),
)


@dataclass(frozen=True)
class EdgeBundle:
    """What was written."""

    path: Path
    bytes: int
    read_otherwise: list[str] | None
    """Golden prompts that this machine's runtime read otherwise than training; None without one."""

    @property
    def usage(self) -> str:
        """How to run it, in words for a shell."""
        name = self.path.name.removesuffix(ARCHIVE)
        unpack = f"tar --zstd -xf {self.path}\n" if name != self.path.name else ""
        folder = name if unpack else self.path
        return f'{unpack}pip install -r {folder}/requirements.txt\npython {folder}/run.py "..."\n'


def runtime_of(form: str) -> EdgeRuntime:
    """The runtime of a form.

    Raises:
        InvalidInputError: No bundle can be made of that form.
    """
    for runtime in RUNTIMES:
        if form.startswith(f"{runtime.prefix}-"):
            return runtime
    raise InvalidInputError(
        f"a bundle holds an onnx-* or openvino-* build, and this version is of form {form}. "
        "Make one first: mill optimize MODEL --form onnx-int4"
    )


def write_bundle(
    store: ArtifactStore,
    model: Mapping[str, Any],
    target: Path,
    *,
    sign: Callable[[Path], None] | None = None,
) -> EdgeBundle:
    """Write a bundle as a new folder, or as a new file `*.tar.zst`; whole or not at all.

    Args:
        model: As the gateway has it.
        sign: Called with the folder when all is in it.

    Raises:
        InvalidInputError: The version is of a form that no bundle is made of.
        PreconditionError: The target is there already, or the runtime reads most golden prompts
            otherwise than in training.
        NotFoundError: The artifact is not on this machine.
    """
    runtime = runtime_of(model["form"])
    if target.exists():
        raise PreconditionError(f"{target} is there already. Give another name")
    name = target.name.removesuffix(ARCHIVE)
    with TemporaryDirectory(prefix=f".{name}-", dir=target.parent) as place:
        folder = Path(place) / name
        checked = _fill(store, model, runtime, folder)
        if sign is not None:
            sign(folder)
        if target.name.endswith(ARCHIVE):
            _archive(folder, Path(place) / target.name).rename(target)
        else:
            folder.rename(target)
    return EdgeBundle(target, _size_of(target), checked)


def _size_of(target: Path) -> int:
    files = [target] if target.is_file() else [it for it in target.rglob("*") if it.is_file()]
    return sum(file.stat().st_size for file in files)


def _fill(
    store: ArtifactStore, model: Mapping[str, Any], runtime: EdgeRuntime, folder: Path
) -> list[str] | None:
    folder.mkdir()
    export_model(store, model["digest"], folder / "model")
    for name in ("run.py", "bench.py"):
        shutil.copyfile(EDGE / name, folder / name)
    for name in ("runtime.py", "requirements.txt"):
        shutil.copyfile(EDGE / f"{runtime.prefix}_{name}", folder / name)
    manifest = store.manifest(model["digest"])
    facts = _facts(store, model, manifest, folder / "model")
    (folder / "bundle.json").write_text(
        json.dumps(facts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    checked = _check(folder, runtime) if find_spec(runtime.module) else None
    licence = _copy_licences(store, manifest, folder) or licence_of(folder / "model")
    readme = (EDGE / "readme.md").read_text("utf-8")
    (folder / "README.md").write_text(
        readme.format(
            name=facts["name"],
            form=facts["form"],
            version_id=facts["version_id"],
            runtime=runtime.name,
            python="3.11 or later",
            licence=f"The licence of the base is `{licence}`."
            if licence
            else "The base's files name no licence; ask whoever provides it.",
            checked=_checked_words(checked),
            arm64=runtime.arm64,
            jetson=runtime.jetson,
        ),
        encoding="utf-8",
    )
    return checked


def _checked_words(otherwise: list[str] | None) -> str:
    if otherwise is None:
        return _UNCHECKED
    if not otherwise:
        return _CHECKED
    return (
        "Where the bundle was written, the runtime's own tokenizer read some golden prompts\n"
        f"otherwise than training: {', '.join(otherwise)}. Answers to such prompts may differ."
    )


_CHECKED = (
    "Where the bundle was written, `bench.py --check` found that the runtime reads the golden\n"
    "prompts as in training."
)
_UNCHECKED = (
    "Where the bundle was written, its runtime was not installed: nothing of it was run. Begin\n"
    "with `bench.py --check`."
)


def _facts(
    store: ArtifactStore, model: Mapping[str, Any], manifest: Manifest, folder: Path
) -> dict[str, Any]:
    """Content of bundle.json."""
    build = store.materialise(model["digest"])
    with in_use(build):
        goldens = Goldens.read(build)
    # A template that writes the date renders otherwise tomorrow.
    told = () if goldens is None or goldens.dated else goldens.prompts
    return {
        "version_id": model["id"],
        "name": model.get("name") or model["id"],
        "form": model["form"],
        "context_tokens": manifest.attributes["context_tokens"],
        "end_tokens": sorted(BoundedTokenizer.load(folder).eos_ids),
        "prompts": [
            {"name": it.name, "messages": list(it.messages), "ids": list(it.prompt_ids)}
            for it in told
            if not it.tools
        ],
    }


def _check(folder: Path, runtime: EdgeRuntime) -> list[str]:
    """Have the runtime of this machine read the golden prompts; PreconditionError."""
    command = [sys.executable, str(folder / "bench.py"), "--check"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise PreconditionError(
            f"{runtime.name} did not read the build within {CHECK_SECONDS:g} s. Try it again"
        ) from error
    if done.returncode not in (0, 1) or not done.stdout.strip():
        why = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise PreconditionError(
            f"{runtime.name} cannot run the build: {why}. Serve it by Modelmill, or build another "
            "form"
        )
    found = json.loads(done.stdout.splitlines()[-1])
    otherwise: list[str] = found["read_otherwise"]
    if 2 * len(otherwise) > found["prompts"]:
        raise PreconditionError(
            f"{runtime.name} reads prompts otherwise than in training ({', '.join(otherwise)}), so "
            "that the bundle would answer otherwise. Serve the build by Modelmill, or build "
            "another form"
        )
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    return otherwise


def _copy_licences(store: ArtifactStore, manifest: Manifest, folder: Path) -> str:
    """Copy the texts that came with the base, if it is on this machine; returns its licence."""
    try:
        base = store.materialise(manifest.made_from.get("base", manifest.digest))
    except NotFoundError:
        return ""
    with in_use(base):
        for file in (file for pattern in LICENCES for file in sorted(base.glob(pattern))):
            (folder / "licences").mkdir(exist_ok=True)
            shutil.copyfile(file, folder / "licences" / file.name)
        return licence_of(base)


def _archive(folder: Path, target: Path) -> Path:
    """The folder as an archive; the same files give the same bytes."""
    from backports.zstd import tarfile

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        entry.mode = 0o755 if entry.isdir() else 0o644
        return entry

    with tarfile.open(target, "w:zst") as archive:
        for file in sorted(folder.rglob("*")):
            name = file.relative_to(folder.parent)
            archive.add(file, str(name), recursive=False, filter=plain)
    return target
