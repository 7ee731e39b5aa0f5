"""Verification of a folder or file against what was signed of it, without network."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelmill_registry.manifest import is_digest, path_problem
from modelmill_service_kit.errors import NotFoundError
from securesystemslib.signer import SSlibKey

from modelmill_cli.provenance.envelope import BUNDLE, Statement, read_signed
from modelmill_cli.provenance.errors import ProvenanceError, Unverified
from modelmill_cli.provenance.statements import IMAGE, files_below, sha256_of

AGAIN = "Fetch it again, from whoever made it"


@dataclass(frozen=True)
class Verdict:
    """What verification found; all is well where nothing is refused."""

    statements: Sequence[Statement]
    files: int
    """That are as they were signed."""
    images: Mapping[str, str]
    """Ids of the images that are signed, by their names."""
    refusals: Sequence[Unverified]


def verify(target: Path, key: SSlibKey) -> Verdict:
    """Compare a folder, or one file at any depth of it, with what `key` signed.

    Raises:
        NotFoundError: There is no such folder or file.
    """
    if not target.exists():
        raise NotFoundError(f"there is no {target}. Name a folder or file that is to be verified")
    folder = target if target.is_dir() else _folder_of(target)
    bundle = folder / BUNDLE
    if bundle.is_symlink() or not bundle.is_file():
        return Verdict((), 0, {}, [_no_provenance(target)])
    try:
        statements = read_signed(bundle, key)
        files, images = _subjects(statements, bundle)
    except ProvenanceError as error:
        return Verdict((), 0, {}, [error.refusal])
    if target.is_dir():
        refusals = [*_folder(target, files)]
    else:
        name = (_real_place(target) / target.name).relative_to(folder).as_posix()
        files = {name: files[name]} if name in files else {}
        refusals = [*_file(target, files.get(name), name)]
    wrong = {each.name for each in refusals}
    return Verdict(statements, len(files.keys() - wrong), images, refusals)


def _folder_of(file: Path) -> Path:
    """The nearest folder above a file that has a bundle; its own where none has.

    The first bundle decides: what it does not name is not looked for in those further up.
    """
    place = _real_place(file)
    above = (place, *place.parents)
    return next((each for each in above if os.path.lexists(each / BUNDLE)), place)


def _real_place(file: Path) -> Path:
    """Where a file lies, whatever links lead there; a file that is a link itself stays one."""
    return file.parent.resolve()


def verify_images(target: Path, images: Mapping[str, str]) -> Iterator[Unverified]:
    """Compare ids with those that the Docker of this machine has under the same names.

    That none is signed for `target` is a refusal: nobody asks for images in order to hear that
    there was nothing to compare.
    """
    if not images:
        yield Unverified(
            "missing",
            str(target),
            "is signed without any image",
            "Fetch all of the release again, from whoever made it, or leave --images",
        )
    for name, sha256 in images.items():
        command = ("docker", "image", "inspect", "--format", "{{.Id}}", "--", name)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            yield Unverified(
                "missing", name, "no Docker answers here", "Start it, or leave --images"
            )
            continue
        if done.returncode:
            yield Unverified("missing", name, "this machine has no such image", "Load or pull it")
        elif done.stdout.strip() != f"sha256:{sha256}":
            found = done.stdout.strip().removeprefix("sha256:")[:12]
            yield Unverified("changed", name, f"is {found}, and {sha256[:12]} was signed", AGAIN)


def _no_provenance(target: Path) -> Unverified:
    return Unverified(
        "missing",
        str(target),
        f"has no provenance: there is no {BUNDLE} with it",
        "Ask whoever made it for that file; `mill keys provenance` makes exports have one",
    )


def _subjects(
    statements: Sequence[Statement], bundle: Path
) -> tuple[dict[str, str], dict[str, str]]:
    """SHA-256 of files and of images, by their names."""
    files: dict[str, str] = {}
    images: dict[str, str] = {}
    for each in (one for statement in statements for one in _list(statement.get("subject"))):
        try:
            name, sha256 = each["name"], each["digest"]["sha256"]
            is_image = each.get("mediaType") == IMAGE
            usable = isinstance(name, str) if is_image else path_problem(name) is None
            sound = usable and is_digest(f"sha256:{sha256}")
        except (AttributeError, KeyError, TypeError):
            sound = False
        group = images if sound and is_image else files
        if not sound or group.setdefault(name, sha256) != sha256:
            raise ProvenanceError(
                Unverified("statement", str(bundle), "names a file in no usable way", AGAIN)
            )
    return files, images


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _folder(folder: Path, signed: Mapping[str, str]) -> Iterator[Unverified]:
    found = set()
    for name, _ in files_below(folder):
        found.add(name)
        if name != BUNDLE:
            yield from _file(folder / name, signed.get(name), name)
    for name in sorted(signed.keys() - found):
        yield Unverified("missing", name, "was signed and is not here", AGAIN)


def _file(file: Path, sha256: str | None, name: str) -> Iterator[Unverified]:
    if file.is_symlink() or not file.is_file():
        yield Unverified("link", name, "is a link or device, no plain file", "Remove it")
    elif sha256 is None:
        yield Unverified("added", name, "is not among what was signed", "Remove it")
    elif sha256_of(file) != sha256:
        yield Unverified("changed", name, "is not the file that was signed", AGAIN)
