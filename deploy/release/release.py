"""`make release BASE_IMAGE=IMAGE KEYS=FOLDER`: wheels, images, bills of materials, signatures, a
dated CHANGELOG, a tag, and a record of them.

Two commits: one dates the CHANGELOG's section, and is what is built and tagged; the next records it
in deploy/releases.json, with its protos in deploy/releases. A clone may lack tags: the record is
what later tests build from.

The key of KEYS (`mill keys provenance FOLDER`) signs what lies in dist/, and the ids of the images.

Nothing is pushed and nothing is uploaded. After a failure `git reset --hard` to the commit that it
names leads back.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CHANGELOG, RECORD, DIST = Path("CHANGELOG.md"), Path("deploy/releases.json"), Path("dist")
PRIVATE_KEY, PUBLIC_KEY = "provenance-key.pem", "provenance.pub"
BY_DIGEST = re.compile(r"^(?:\S+@)?sha256:[0-9a-f]{64}$")
"""`NAME@sha256:...` of a registry, or the id of a local image."""
IMAGES = (
    *("nats", "data-prep", "gateway", "moderation", "trainer", "optimizer-builder", "inference"),
    "all-in-one",
)


class ReleaseError(Exception):
    """It cannot be released; the message says what to do."""


def version(root: Path) -> str:
    """The one version of all packages.

    Raises:
        ReleaseError: they differ.
    """
    manifests = [root / "pyproject.toml", *root.glob("libs/*/pyproject.toml")]
    manifests += root.glob("services/*/pyproject.toml")
    versions: dict[str, list[str]] = {}
    for manifest in manifests:
        project = tomllib.loads(manifest.read_text("utf-8"))["project"]
        versions.setdefault(project["version"], []).append(str(manifest.relative_to(root)))
    if len(versions) > 1:
        named = "; ".join(f"{each} in {', '.join(where)}" for each, where in versions.items())
        raise ReleaseError(f"packages have different versions. Give all of them one: {named}")
    return next(iter(versions))


def require_digest(image: str) -> None:
    """Raise ReleaseError for an image whose content its name does not fix."""
    if not BY_DIGEST.match(image):
        raise ReleaseError(
            f"BASE_IMAGE {image!r} may be another image tomorrow. Give NAME@sha256:..., or the id"
            " of a local image: docker image inspect --format '{{.Id}}' NAME"
        )


def require_key(keys: Path) -> None:
    """Raise ReleaseError where nothing can be signed."""
    for name in (PRIVATE_KEY, PUBLIC_KEY):
        if not (keys / name).is_file():
            raise ReleaseError(
                f"there is no {keys / name}, so that nothing could be signed. Make a key with mill"
                f" keys provenance {keys}, keep it for all releases, and publish {PUBLIC_KEY}"
            )


def dated(changelog: str, number: str, today: str) -> str:
    """The changelog with the date in the heading of a version's section.

    Raises:
        ReleaseError: it has none, or a dated one, or an empty one.
    """
    found = re.search(
        rf"^## {re.escape(number)}( \([^)]*\))?\n(.*?)(?=^## |\Z)", changelog, re.M | re.S
    )
    if found is None:
        raise ReleaseError(f"CHANGELOG.md has no section '## {number}'. Write what is new")
    if found[1]:
        raise ReleaseError(
            f"CHANGELOG.md dates {number}{found[1]}: released already. Raise the version"
        )
    if not re.search(r"^- ", found[2], re.M):
        raise ReleaseError(f"CHANGELOG.md says nothing of {number}. Write what is new")
    return changelog.replace(f"## {number}\n", f"## {number} ({today})\n", 1)


class Release:
    """One release of a clone."""

    def __init__(self, root: Path, base_image: str, keys: Path, *, today: str) -> None:
        self._root = root
        self._base_image = base_image
        self._keys = root / keys
        self._today = today

    def run(self) -> Mapping[str, Any]:
        """Build, tag and record; gives the record.

        Raises:
            ReleaseError: it cannot be released. Until the first commit nothing was changed.
        """
        require_digest(self._base_image)
        require_key(self._keys)
        number = version(self._root)
        records = self._records()
        if any(each["version"] == number for each in records):
            raise ReleaseError(f"{number} is in {RECORD}: released already. Raise the version")
        if self._git("status", "--porcelain"):
            raise ReleaseError("the tree has changes that no commit has. Commit or remove them")
        if self._git("tag", "--list", f"v{number}"):
            raise ReleaseError(f"there is a tag v{number}. Raise the version, or delete the tag")
        changelog = (self._root / CHANGELOG).read_text("utf-8")
        fresh = dated(changelog, number, self._today)
        before = self._git("rev-parse", "HEAD")
        try:
            return self._release(number, fresh, records)
        except subprocess.CalledProcessError as error:
            said = f"{' '.join(map(str, error.cmd))} failed"
            raise ReleaseError(
                f"{said}. Back to where it began: git reset --hard {before}"
            ) from error

    def _release(
        self, number: str, changelog: str, records: Sequence[Mapping[str, Any]]
    ) -> Mapping[str, Any]:
        (self._root / CHANGELOG).write_text(changelog, "utf-8")
        self._git("commit", "--quiet", "-m", f"Release {number}", "--", str(CHANGELOG))
        self._make("dist")
        self._make("images", MODELMILL_TAG=number, **self._base())
        self._make("sbom", MODELMILL_TAG=number)
        record = {
            "version": number,
            "date": self._today,
            "commit": self._git("rev-parse", "HEAD"),
            "base_image": self._base_image,
            "images": {name: self._image_id(f"modelmill/{name}:{number}") for name in IMAGES},
            "wheels": {
                wheel.name: hashlib.sha256(wheel.read_bytes()).hexdigest()
                for wheel in sorted((self._root / DIST).glob("*.whl"))
            },
            "provenance_key": (self._keys / PUBLIC_KEY).read_text("ascii"),
        }
        self._sign(record)
        self._git("tag", "--annotate", f"v{number}", "-m", f"Modelmill {number}")
        text = json.dumps({"releases": [*records, record]}, indent=1) + "\n"
        (self._root / RECORD).write_text(text, "utf-8")
        protos = RECORD.with_suffix("") / f"{number}.binpb"
        (self._root / protos).parent.mkdir(exist_ok=True)
        self._make("released-protos", OUT=str(protos))
        self._git("add", "--", str(RECORD), str(protos))
        self._git("commit", "--quiet", "-m", f"Record release {number}")
        return record

    def _sign(self, record: Mapping[str, Any]) -> None:
        """Have the files in dist/ and the images signed; images go by the names of this version."""
        images = {
            f"modelmill/{name}:{record['version']}": digest
            for name, digest in record["images"].items()
        }
        (self._root / DIST / "release.json").write_text(
            json.dumps(record | {"images": images}, indent=1) + "\n", "utf-8"
        )
        self._make("provenance", KEYS=str(self._keys))

    def _base(self) -> Mapping[str, str]:
        """The base as a build can name it, which takes no bare id of a local image.

        Where the base is a local image there is rarely a network inside of builds.
        """
        if not self._base_image.startswith("sha256:"):
            return {"BASE_IMAGE": self._base_image}
        name = f"modelmill/release-base:{self._base_image.removeprefix('sha256:')[:12]}"
        self._output("docker", "image", "tag", self._base_image, name)
        return {"BASE_IMAGE": name, "BUILD_NETWORK": os.environ.get("BUILD_NETWORK", "host")}

    def _records(self) -> list[Mapping[str, Any]]:
        text = (self._root / RECORD).read_text("utf-8")
        releases: list[Mapping[str, Any]] = json.loads(text)["releases"]
        return releases

    def _git(self, *arguments: str) -> str:
        return self._output("git", *arguments)

    def _image_id(self, image: str) -> str:
        return self._output("docker", "image", "inspect", "--format", "{{.Id}}", image)

    def _output(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self._root, stdout=subprocess.PIPE, text=True, check=True
        )
        return done.stdout.strip()

    def _make(self, target: str, **settings: str) -> None:
        # As arguments: those of `make release` come along in MAKEFLAGS, and win over environments.
        given = [f"{name}={value}" for name, value in settings.items()]
        subprocess.run(["make", target, *given], cwd=self._root, check=True)


def main() -> int:
    """Release this clone."""
    parser = argparse.ArgumentParser(prog="make release")
    parser.add_argument("--base-image", required=True)
    parser.add_argument("--keys", type=Path, required=True)
    given = parser.parse_args()
    try:
        today = datetime.now(UTC).date().isoformat()
        record = Release(ROOT, given.base_image, given.keys, today=today).run()
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 2
    print(f"released {record['version']}: tag v{record['version']}, {RECORD}; nothing was pushed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
