"""A release is signed as a whole: its files, its images, the commit and base they were made of."""

import json
from hashlib import sha256
from pathlib import Path

import pytest
from modelmill_cli.app import run_app
from modelmill_cli.provenance.envelope import BUNDLE
from modelmill_cli.provenance.key import ProvenanceKey
from modelmill_service_kit.errors import PreconditionError

from deploy.supply.provenance import ROOT, sign_release

IMAGES = {"modelmill/gateway:0.1.0": f"sha256:{'ab' * 32}"}
DOCKER = """#!/bin/sh
case "$*" in
  *gateway*) echo "$FOUND" ;;
  *) exit 1 ;;
esac
"""


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    ProvenanceKey(tmp_path / "keys").create()
    return tmp_path / "keys"


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """What a release leaves behind."""
    folder = tmp_path / "dist"
    (folder / "sbom").mkdir(parents=True)
    for name in ("modelmill-0.1.0-py3-none-any.whl", "constraints.txt", "sbom/gateway.cdx.json"):
        (folder / name).write_text(name)
    record = {
        **{"version": "0.1.0", "commit": "c" * 40, "images": IMAGES},
        "base_image": f"python@sha256:{'12' * 32}",
    }
    (folder / "release.json").write_text(json.dumps(record))
    return folder


def test_a_release_verifies_with_its_files_and_the_commit_it_was_built_of(
    keys: Path, dist: Path, capsys: pytest.CaptureFixture[str]
):
    sign_release(keys, dist)

    assert run_app(["verify", str(dist), "--key", str(keys / "provenance.pub"), "--json"]) == 0
    verdict = json.loads(capsys.readouterr().out)
    # The wheel, the lock, the bill of materials, the record, and the public key.
    assert verdict["files"] == 5
    assert verdict["images"] == {"modelmill/gateway:0.1.0": "ab" * 32}
    (statement,) = verdict["statements"]
    sources = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert sources[0] == {"name": "source", "digest": {"gitCommit": "c" * 40}}
    assert sources[-1] == {"name": "python", "digest": {"sha256": "12" * 32}}


def test_a_release_names_the_locks_that_its_images_are_built_from(
    keys: Path, dist: Path, capsys: pytest.CaptureFixture[str]
):
    sign_release(keys, dist)

    run_app(["verify", str(dist), "--key", str(keys / "provenance.pub"), "--json"])
    (statement,) = json.loads(capsys.readouterr().out)["statements"]
    sources = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    names = {
        *("constraints.txt", "deploy/bootstrap.txt", "deploy/all-in-one/requirements.txt"),
        *(f"services/{it.parent.name}/requirements.txt" for it in ROOT.glob("services/*/src")),
    }
    found = {each["name"]: each["digest"].get("sha256") for each in sources}
    assert found.keys() - {"source", "python"} == names
    assert {found[it] for it in names} == {
        sha256((ROOT / it).read_bytes()).hexdigest() for it in names
    }


@pytest.mark.parametrize("options", [[], ["--images"]])
@pytest.mark.parametrize("target", [".", "constraints.txt"])
def test_no_line_of_the_provenance_of_a_release_can_be_left_out(
    keys: Path,
    dist: Path,
    target: str,
    options: list[str],
    capsys: pytest.CaptureFixture[str],
):
    sign_release(keys, dist)
    lines = (dist / BUNDLE).read_text().splitlines(keepends=True)
    for number in range(len(lines)):
        (dist / BUNDLE).write_text("".join(lines[:number] + lines[number + 1 :]))

        key = str(keys / "provenance.pub")
        assert run_app(["verify", str(dist / target), "--key", key, *options]) == 1


@pytest.mark.parametrize("target", [".", "constraints.txt"])
def test_images_that_nobody_signed_are_refused_where_they_are_asked_for(
    keys: Path, dist: Path, target: str, capsys: pytest.CaptureFixture[str]
):
    record = json.loads((dist / "release.json").read_text()) | {"images": {}}
    (dist / "release.json").write_text(json.dumps(record))
    sign_release(keys, dist)

    arguments = ["verify", str(dist / target), "--key", str(keys / "provenance.pub")]
    assert run_app(arguments) == 0
    capsys.readouterr()
    assert run_app([*arguments, "--images"]) == 1
    assert f"{dist / target}: is signed without any image. Fetch all" in capsys.readouterr().err


def test_a_wheel_alone_verifies_beside_its_provenance(keys: Path, dist: Path):
    sign_release(keys, dist)
    wheel, key = dist / "modelmill-0.1.0-py3-none-any.whl", str(keys / "provenance.pub")

    assert run_app(["verify", str(wheel), "--key", key]) == 0
    wheel.write_text("other")
    assert run_app(["verify", str(wheel), "--key", key]) == 1


@pytest.mark.tier("test")
@pytest.mark.parametrize(
    ("found", "status", "said"),
    [
        ("ab" * 32, 0, ""),
        ("cd" * 32, 1, "modelmill/gateway:0.1.0: is cdcdcdcdcdcd, and abababababab was signed"),
    ],
)
def test_images_of_this_machine_are_held_to_what_was_signed(
    keys: Path,
    dist: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    found: str,
    status: int,
    said: str,
):
    sign_release(keys, dist)
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker.parent}:/usr/bin:/bin")
    monkeypatch.setenv("FOUND", f"sha256:{found}")

    arguments = ["verify", str(dist), "--key", str(keys / "provenance.pub"), "--images"]
    assert run_app(arguments) == status
    assert said in capsys.readouterr().err


def test_without_a_key_nothing_is_signed(tmp_path: Path, dist: Path):
    with pytest.raises(PreconditionError, match="Make one: mill keys provenance"):
        sign_release(tmp_path / "nothing", dist)
