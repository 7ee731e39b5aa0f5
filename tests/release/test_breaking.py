"""Protos are held to the last recorded release: what old readers cannot read is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BUF = Path(sys.executable).with_name("buf")
BREAKING = Path(__file__).parents[2] / "deploy" / "release" / "breaking.py"
CONFIG = "version: v2\nmodules:\n  - path: proto\nbreaking:\n  use: [FILE]\n"
PROTO = """syntax = "proto3";
package a.v1;
message Job {
  string id = 1;
}
"""

pytestmark = pytest.mark.tier("test")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    root = tmp_path / "clone"
    (root / "proto" / "a" / "v1").mkdir(parents=True)
    (root / "deploy").mkdir()
    (root / "buf.yaml").write_text(CONFIG)
    proto_of(root).write_text(PROTO)
    record(root, [])
    return root


def proto_of(root: Path) -> Path:
    return root / "proto" / "a" / "v1" / "job.proto"


def record(root: Path, versions: list[str]) -> None:
    releases = [{"version": it, "commit": "ab" * 20} for it in versions]
    (root / "deploy" / "releases.json").write_text(json.dumps({"releases": releases}))


def compared(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, BREAKING], cwd=root, capture_output=True, text=True)


def test_without_a_release_it_says_that_there_is_nothing_to_compare_with(clone: Path):
    done = compared(clone)

    assert (done.returncode, done.stderr) == (0, "")
    assert "records no release, so there is nothing to compare with" in done.stdout


def test_a_field_more_is_no_break_and_another_type_is_one_by_its_name(clone: Path):
    record(clone, ["0.1.0", "0.2.0"])
    protos = clone / "deploy" / "releases" / "0.2.0.binpb"
    protos.parent.mkdir()
    subprocess.run([BUF, "build", "-o", protos], cwd=clone, check=True)

    proto_of(clone).write_text(PROTO.replace("= 1;", "= 1;\n  string kind = 2;"))
    assert compared(clone).returncode == 0

    proto_of(clone).write_text(PROTO.replace("string id", "int64 id"))
    done = compared(clone)
    assert done.returncode != 0
    assert 'Field "1" with name "id" on message "Job" changed type' in done.stdout


def test_a_release_without_its_protos_is_named_with_how_to_make_them(clone: Path):
    record(clone, ["0.1.0"])

    done = compared(clone)

    assert done.returncode == 2
    assert "there is no deploy/releases/0.1.0.binpb" in done.stderr
    assert "git checkout abab" in done.stderr
