"""Signed provenance of a release: of its files in dist/, and of the images that were built.

One statement is of both, so that no part of a release can be taken out of what was signed.

    python -m deploy.supply.provenance --keys FOLDER [--dist FOLDER]

`dist/release.json` says what was built, as `make release` writes it. `mill verify dist --key
provenance.pub --images` verifies.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modelmill_cli.provenance.envelope import write_signed
from modelmill_cli.provenance.key import ProvenanceKey
from modelmill_cli.provenance.statements import IMAGE, file_subjects, sha256_of, statement
from modelmill_service_kit.errors import PreconditionError

ROOT = Path(__file__).resolve().parents[2]
RELEASE = "release.json"
LOCKS = (
    *("constraints.txt", "deploy/bootstrap.txt", "deploy/all-in-one/requirements.txt"),
    "services/*/requirements.txt",
)
"""Of what builds of wheels and images install, and of what is installed into images."""


def sign_release(keys: Path, dist: Path) -> str:
    """Sign what lies in `dist`; gives the id of the key.

    Raises:
        PreconditionError: There is no key in `keys`.
    """
    key = ProvenanceKey(keys)
    signer = key.signer()
    if signer is None:
        raise PreconditionError(
            f"there is no {key.private_file}. Make one: mill keys provenance {keys}"
        )
    shutil.copyfile(key.public_file, dist / key.public_file.name)
    release = json.loads((dist / RELEASE).read_text("utf-8"))
    source = {"name": "source", "digest": {"gitCommit": release["commit"]}}
    release_made = statement(
        [*file_subjects(dist), *map(_image, release["images"].items())],
        "release",
        parameters={"version": release["version"]},
        dependencies=[source, *_locks(), _base(release)],
        invocation=release["commit"],
    )
    write_signed([release_made], signer, dist)
    return signer.public_key.keyid


def _locks() -> Iterator[dict[str, Any]]:
    for file in sorted(found for pattern in LOCKS for found in ROOT.glob(pattern)):
        name = file.relative_to(ROOT).as_posix()
        yield {"name": name, "digest": {"sha256": sha256_of(file)}}


def _image(named: tuple[str, str]) -> dict[str, Any]:
    name, digest = named
    sha256 = digest.removeprefix("sha256:")
    return {"name": name, "mediaType": IMAGE, "digest": {"sha256": sha256}}


def _base(release: Mapping[str, Any]) -> dict[str, Any]:
    name, _, sha256 = release["base_image"].rpartition("sha256:")
    return {"name": name.rstrip("@") or "base", "digest": {"sha256": sha256}}


def main() -> int:
    """Sign the release in dist/."""
    parser = argparse.ArgumentParser(prog="make provenance")
    parser.add_argument("--keys", type=Path, required=True)
    parser.add_argument("--dist", type=Path, default=ROOT / "dist")
    given = parser.parse_args()
    try:
        print(f"signed by {sign_release(given.keys, given.dist)[:16]}")
    except (PreconditionError, OSError) as error:
        print(f"provenance: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
