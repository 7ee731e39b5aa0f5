"""`make release` takes what its content fixes, records it, and changes nothing when it cannot."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

RELEASE = Path(__file__).parents[2] / "deploy" / "release" / "release.py"
LOCAL = f"sha256:{'ab' * 32}"
MAKEFILE = """dist:
\tmkdir -p dist && echo wheel > dist/modelmill-0.1.0-py3-none-any.whl
images:
\techo "$(BASE_IMAGE) $(MODELMILL_TAG) $(BUILD_NETWORK)" > built
sbom:
\tmkdir -p dist/sbom && echo "$(MODELMILL_TAG)" > dist/sbom/gateway.cdx.json
released-protos:
\techo protos > $(OUT)
provenance:
\ttest -f "$(KEYS)/provenance-key.pem" && cp dist/release.json signed
release:
\t@python3 deploy/release/release.py --base-image "$(BASE_IMAGE)" --keys keys
"""
DOCKER = """#!/bin/sh
case "$*" in
  *inspect*) echo "sha256:id-of-$5" ;;
  *tag*) echo "$*" >> "$(dirname "$0")/tagged" ;;
esac
"""

pytestmark = pytest.mark.tier("test")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with what a release reads and makes."""
    root = tmp_path / "clone"
    release = root / "deploy" / "release" / "release.py"
    release.parent.mkdir(parents=True)
    release.write_text(RELEASE.read_text())
    for folder in (root, root / "libs" / "bus", root / "services" / "gateway"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "0.1.0"\n')
    (root / "CHANGELOG.md").write_text("# Changelog\n\n## 0.1.0\n\n### Added\n- All of it.\n")
    (root / "Makefile").write_text(MAKEFILE)
    (root / "deploy" / "releases.json").write_text('{"releases": []}')
    (root / ".gitignore").write_text("dist/\nbuilt\nkeys/\nsigned\n")
    (root / "keys").mkdir()
    for name in ("provenance-key.pem", "provenance.pub"):
        (root / "keys" / name).write_text(name)
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "docker").write_text(DOCKER)
    (bin_folder / "docker").chmod(0o755)
    git(root, "init", "--quiet", "--initial-branch", "main")
    commit(root)
    return root


def git(root: Path, *arguments: str) -> str:
    me = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    command = ["git", *me, *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "Change it")


@pytest.fixture
def release(clone: Path) -> Run:
    def run(base_image: str = LOCAL) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "PATH": f"{clone.parent / 'bin'}:{os.environ['PATH']}",
            **{"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com"},
            **{"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.com"},
        }
        program = clone / "deploy" / "release" / "release.py"
        return subprocess.run(
            [sys.executable, str(program), "--base-image", base_image, "--keys", "keys"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_release_is_tagged_and_recorded_with_what_it_is_made_of(clone: Path, release: Run):
    done = release()

    assert (done.returncode, done.stderr) == (0, "")
    [record] = json.loads((clone / "deploy" / "releases.json").read_text())["releases"]
    assert (record["version"], record["base_image"]) == ("0.1.0", LOCAL)
    assert record["commit"] == git(clone, "rev-parse", "v0.1.0^{commit}")
    assert record["wheels"] == {"modelmill-0.1.0-py3-none-any.whl": sha256(b"wheel\n").hexdigest()}
    assert record["images"]["gateway"] == "sha256:id-of-modelmill/gateway:0.1.0"
    assert record["provenance_key"] == "provenance.pub"
    signed = json.loads((clone / "signed").read_text())
    gateway = record["images"]["gateway"]
    assert signed["images"]["modelmill/gateway:0.1.0"] == gateway
    assert (clone / "dist" / "sbom" / "gateway.cdx.json").read_text() == "0.1.0\n"
    assert git(clone, "status", "--porcelain") == ""
    assert git(clone, "ls-files", "deploy/releases") == "deploy/releases/0.1.0.binpb"
    # What is tagged says of itself when it was released.
    assert f"## 0.1.0 ({record['date']})" in git(clone, "show", "v0.1.0:CHANGELOG.md")


def test_images_are_built_on_a_name_of_the_local_image(clone: Path, release: Run):
    release()

    name = f"modelmill/release-base:{'ab' * 6}"
    assert (clone / "built").read_text().split() == [name, "0.1.0", "host"]
    assert (clone.parent / "bin" / "tagged").read_text() == f"image tag {LOCAL} {name}\n"


def test_builds_get_the_name_though_make_itself_was_given_the_id(clone: Path):
    environment = os.environ | {"PATH": f"{clone.parent / 'bin'}:{os.environ['PATH']}"}
    author = {
        f"GIT_{role}_{what}": "a" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }

    subprocess.run(
        ["make", "release", f"BASE_IMAGE={LOCAL}"], cwd=clone, env=environment | author, check=True
    )

    assert (clone / "built").read_text().split()[0] == f"modelmill/release-base:{'ab' * 6}"


def test_a_digest_of_a_registry_is_taken_as_it_is(clone: Path, release: Run):
    base = f"python@sha256:{'12' * 32}"

    assert release(base).returncode == 0
    assert (clone / "built").read_text().split() == [base, "0.1.0"]


def dirty(root: Path) -> None:
    (root / "Makefile").write_text(f"{MAKEFILE}\n# changed")


def without_section(root: Path) -> None:
    (root / "CHANGELOG.md").write_text("# Changelog\n")
    commit(root)


def empty_section(root: Path) -> None:
    (root / "CHANGELOG.md").write_text("# Changelog\n\n## 0.1.0\n\n## 0.0.9 (2026-01-01)\n- Old.\n")
    commit(root)


def dated_section(root: Path) -> None:
    (root / "CHANGELOG.md").write_text("# Changelog\n\n## 0.1.0 (2026-01-01)\n- Old.\n")
    commit(root)


def other_version(root: Path) -> None:
    (root / "libs/bus/pyproject.toml").write_text('[project]\nname = "x"\nversion = "0.2.0"\n')
    commit(root)


def tagged(root: Path) -> None:
    git(root, "tag", "v0.1.0")


def recorded(root: Path) -> None:
    (root / "deploy/releases.json").write_text('{"releases": [{"version": "0.1.0"}]}')
    commit(root)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (dirty, "changes that no commit has"),
        (without_section, "no section '## 0.1.0'"),
        (empty_section, "says nothing of 0.1.0"),
        (dated_section, "released already. Raise the version"),
        (other_version, "different versions"),
        (tagged, "there is a tag v0.1.0"),
        (recorded, "released already. Raise the version"),
    ],
)
def test_what_cannot_be_released_is_refused_and_left_as_it_is(
    clone: Path, release: Run, change: Callable[[Path], None], said: str
):
    change(clone)
    before = git(clone, "rev-parse", "HEAD"), git(clone, "status", "--porcelain")

    done = release()

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert (git(clone, "rev-parse", "HEAD"), git(clone, "status", "--porcelain")) == before


@pytest.mark.parametrize("image", ["", "python:3.11-slim-bookworm", "python@sha256:12", "latest"])
def test_a_base_image_without_a_digest_is_refused(clone: Path, release: Run, image: str):
    done = release(image)

    assert done.returncode == 2
    assert "may be another image tomorrow. Give NAME@sha256:" in done.stderr
    assert not (clone / "built").exists()


@pytest.mark.parametrize("name", ["provenance-key.pem", "provenance.pub"])
def test_without_a_key_nothing_is_released(clone: Path, release: Run, name: str):
    (clone / "keys" / name).unlink()

    done = release()

    assert done.returncode == 2
    assert f"{name}, so that nothing could be signed. Make a key with mill" in done.stderr
    assert not (clone / "built").exists()


def test_a_failed_build_says_how_to_go_back(clone: Path, release: Run):
    (clone / "Makefile").write_text(MAKEFILE.replace("echo wheel", "false"))
    commit(clone)
    before = git(clone, "rev-parse", "HEAD")

    done = release()

    assert done.returncode == 2
    assert f"make dist failed. Back to where it began: git reset --hard {before}" in done.stderr
    assert git(clone, "tag") == ""
