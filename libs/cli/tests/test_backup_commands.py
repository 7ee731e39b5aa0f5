"""`mill backup` and `mill restore`: everything comes back, and what is torn is refused by name."""

import asyncio
import hashlib
import json
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cli_support.backed_up import add_model_to, files_of, make_estate, streams_of
from modelmill_cli.app import run_app
from modelmill_cli.backup.record import decode_record, encode_record
from modelmill_cli.state_folder import Runtime, StateFolder
from modelmill_registry.blobs import BlobFolder
from modelmill_registry.manifest import FileEntry
from modelmill_registry.store import FolderStore

pytestmark = pytest.mark.tier("test")

KEY = "keys/signing-key.pem"
RUNTIME = Runtime(0, "", "", "", "", "", {}, {}, {})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a state folder and its backup."""
    folder = tmp_path_factory.mktemp("made")
    state = StateFolder(folder / "state")
    asyncio.run(make_estate(state, folder / "work"))
    assert run_app(["--state", str(state.path), "backup", str(folder / "backup")]) == 0
    return folder


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(made, tmp_path / "made"))


def backup(folder: Path, *more: str) -> int:
    return run_app(["--state", str(folder / "state"), "backup", str(folder / "backup"), *more])


def restore(folder: Path, *more: str) -> int:
    return run_app(["--state", str(folder / "new"), "restore", str(folder / "backup"), *more])


def modes_of(folder: Path) -> set[str]:
    """What others may do with any file or folder; a link's own mode says nothing."""
    return {
        path.as_posix()
        for path in (folder, *folder.rglob("*"))
        if stat.S_IMODE(path.lstat().st_mode) & 0o077 and not path.is_symlink()
    }


def test_a_restored_folder_has_the_same_streams_artifacts_keys_and_positions(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert restore(copied, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    before, after = StateFolder(copied / "state"), StateFolder(copied / "new")

    assert (report["messages"], report["artifacts"]) == (3, 3)
    assert files_of(after) == files_of(before)
    there = asyncio.run(streams_of(before))
    assert asyncio.run(streams_of(after)) == there
    assert there["next"] == [(2, 1, 1)]
    assert {
        path for name in ("keys", "bus-identities", "nats") for path in modes_of(after.path / name)
    } == set()
    assert modes_of(copied / "backup") == set()
    assert not after.unfinished_restore.exists()


def test_a_second_backup_copies_what_is_new_and_either_can_be_restored(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [first] = [file.stem for file in (copied / "backup" / "backups").iterdir()]
    asyncio.run(add_model_to(StateFolder(copied / "state"), copied / "more", "mv-2"))
    capsys.readouterr()
    assert backup(copied, "--json") == 0
    report = json.loads(capsys.readouterr().out)

    assert report["artifacts"] == 4
    assert 4000 < report["written_bytes"] < report["total_bytes"] - 8000
    assert restore(copied, "--at", first) == 0
    shutil.rmtree(copied / "new")
    assert restore(copied) == 0
    assert files_of(StateFolder(copied / "new")) == files_of(StateFolder(copied / "state"))


def test_old_backups_go_with_what_only_they_had(copied: Path) -> None:
    store = FolderStore(copied / "state" / "artifacts")
    [first] = (copied / "backup" / "backups").iterdir()
    asyncio.run(add_model_to(StateFolder(copied / "state"), copied / "more", "mv-2"))
    before = {file for file in (copied / "backup" / "blobs").rglob("*") if file.is_file()}
    assert backup(copied, "--keep", "1") == 0

    after = {file for file in (copied / "backup" / "blobs").rglob("*") if file.is_file()}
    assert not first.exists()
    assert before - after
    assert restore(copied) == 0
    again = FolderStore(copied / "new" / "artifacts")
    assert {*again._digests()} == {*store._digests()}


def pool(folder: Path) -> set[Path]:
    """Files of all contents of the backups."""
    return {file for file in (folder / "backup" / "blobs").rglob("*") if file.is_file()}


def test_contents_that_no_backup_has_go_with_the_next_one_also_if_no_backup_does(
    copied: Path,
) -> None:
    BlobFolder(copied / "backup").put(FileEntry("", 1, "a" * 64), _written(copied / "x", b"x"))
    before = pool(copied)
    assert backup(copied) == 0
    assert [file.name for file in before - pool(copied)] == ["a" * 64]


def test_a_backup_is_newer_than_those_before_although_the_clock_was_set_back(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [first] = (copied / "backup" / "backups").iterdir()
    first.rename(first.with_name("20990101-000000-999999.json"))
    assert backup(copied, "--keep", "1", "--json") == 0
    made = json.loads(capsys.readouterr().out)["id"]

    assert made == "20990101-000001-000000"
    assert [file.stem for file in (copied / "backup" / "backups").iterdir()] == [made]
    assert restore(copied, "--json") == 0
    assert json.loads(capsys.readouterr().out)["id"] == made


def content(folder: Path, what: str) -> Path:
    """The file of a content of the one backup: a stream, a key, or a file of an artifact."""
    [file] = (folder / "backup" / "backups").iterdir()
    said = json.loads(file.read_bytes())["backup"]
    if what == "stream":
        [sha256] = [each["sha256"] for each in said["streams"] if each["name"] == "MODELS"]
    elif what == "key":
        [sha256] = [each["sha256"] for each in said["files"] if each["path"] == KEY]
    else:
        sha256 = said["artifacts"][0]["digest"].removeprefix("sha256:")
        if what == "artifact":
            path = folder / "backup" / "blobs" / "sha256" / sha256[:2] / sha256
            sha256 = json.loads(path.read_bytes())["files"][0]["sha256"]
    return folder / "backup" / "blobs" / "sha256" / sha256[:2] / sha256


def rewritten(file: Path, change: Callable[[bytes], bytes]) -> None:
    content = change(file.read_bytes())
    file.chmod(0o600)
    file.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "missing": Path.unlink,
    "shortened": lambda file: rewritten(file, lambda whole: whole[:-1]),
    "altered": lambda file: rewritten(file, lambda whole: bytes([whole[0] ^ 1]) + whole[1:]),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("stream", "stream MODELS"),
        ("key", KEY),
        ("manifest", "manifest"),
        ("artifact", "rows.jsonl of sha256:"),
    ],
)
def test_a_torn_backup_is_refused_by_name_before_anything_is_written(
    copied: Path, capsys: pytest.CaptureFixture[str], what: str, name: str, damage: str
) -> None:
    file = content(copied, what)
    DAMAGES[damage](file)

    assert restore(copied) == 2
    said = capsys.readouterr().err
    assert file.name in said
    assert name in said
    assert "--at" in said
    assert not (copied / "new").exists()
    assert restore(copied, "--check") == 2


@pytest.mark.parametrize("what", ["manifest", "artifact"])
def test_a_content_that_rotted_is_copied_anew_once_the_file_that_is_named_is_deleted(
    copied: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    file = content(copied, what)
    DAMAGES["altered"](file)
    assert restore(copied, "--check") == 2
    assert f"or delete {file} and repeat `mill backup`" in capsys.readouterr().err
    file.unlink()
    assert backup(copied) == 0
    assert restore(copied) == 0


def test_a_torn_backup_does_not_fail_later_ones_and_keeps_all_contents_until_it_goes(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = content(copied, "manifest")
    BlobFolder(copied / "backup").put(FileEntry("", 1, "a" * 64), _written(copied / "x", b"x"))
    DAMAGES["altered"](file)
    before = pool(copied)

    assert backup(copied) == 0
    said = capsys.readouterr().err
    assert "mill: no contents of older backups were deleted" in said
    assert f"delete {file} and repeat" in said
    assert before <= pool(copied)
    file.unlink()
    assert backup(copied) == 0
    assert "deleted" not in capsys.readouterr().err
    assert "a" * 64 not in {each.name for each in pool(copied)}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"version": 1', '"version": 2', "layout version 2, and this mill reads 1"),
        ('"part": ""', '"part": "../.."', "damaged"),
        ('"messages": 2', '"messages": 3', "damaged"),
        ("modelmill-backup", "another", "none of `mill backup`"),
        ('"backup": {', '"backup": [{', "damaged"),
    ],
)
def test_a_record_that_was_altered_or_is_of_another_layout_is_refused(
    copied: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    [file] = (copied / "backup" / "backups").iterdir()
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))

    assert restore(copied) == 2
    assert said in (told := capsys.readouterr().err)
    assert file.name in told
    assert not (copied / "new").exists()


def test_a_folder_of_another_layout_takes_no_backup_either(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewritten(
        copied / "backup" / "modelmill-backup.json",
        lambda whole: whole.replace(b'"version": 1', b'"version": 7'),
    )
    assert backup(copied) == 2
    assert restore(copied) == 2
    assert capsys.readouterr().err.count("layout version 7, and this mill reads 1") == 2


def test_an_unfinished_backup_is_refused_and_the_one_before_can_be_named(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [whole] = [file.stem for file in (copied / "backup" / "backups").iterdir()]
    (copied / "backup" / "unfinished" / "20990101-000000-000000").touch()

    assert restore(copied) == 2
    said = capsys.readouterr().err
    assert "backup 20990101-000000-000000 in" in said
    assert f"--at {whole}" in said
    assert restore(copied, "--at", whole) == 0
    assert backup(copied) == 0
    shutil.rmtree(copied / "new")
    assert restore(copied) == 0


def test_a_state_folder_that_holds_something_takes_no_restore(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files_of(StateFolder(copied / "state"))
    arguments = ["--state", str(copied / "state"), "restore", str(copied / "backup")]
    assert run_app(arguments) == 2
    assert "Restore into a folder that is empty or not there" in capsys.readouterr().err
    assert files_of(StateFolder(copied / "state")) == before


def test_a_state_folder_that_links_to_a_folder_elsewhere_takes_no_restore(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copied / "new").mkdir(mode=0o700)
    (copied / "new" / "artifacts").symlink_to(copied / "state" / "artifacts")
    assert restore(copied) == 2
    assert "new holds artifacts already" in capsys.readouterr().err
    assert (copied / "new" / "artifacts").is_symlink()


def test_nothing_starts_on_a_folder_whose_restore_was_killed(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore(copied) == 0
    StateFolder(copied / "new").unfinished_restore.touch()
    for command in (["up"], ["restore", str(copied / "backup")]):
        assert run_app(["--state", str(copied / "new"), *command]) == 2
        assert "was not finished. Delete that folder" in capsys.readouterr().err


def test_a_folder_that_others_may_read_or_that_holds_something_else_takes_no_backup(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copied / "backup").chmod(0o755)
    assert backup(copied) == 2
    assert f"chmod 700 {copied / 'backup'}" in capsys.readouterr().err
    (copied / "home").mkdir(mode=0o700)
    (copied / "home" / "letter.txt").touch()
    state = ["--state", str(copied / "state")]
    assert run_app([*state, "backup", str(copied / "home")]) == 2
    assert "holds something that is no backup" in capsys.readouterr().err
    assert run_app(["--state", str(copied / "new"), "restore", str(copied / "home")]) == 2
    assert "has no backup" in capsys.readouterr().err


def test_artifacts_that_streams_name_and_nobody_has_are_named(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifests = copied / "state" / "artifacts" / "manifests"
    for file in manifests.iterdir():
        file.unlink()
    before = pool(copied)
    assert backup(copied) == 2
    said = capsys.readouterr().err
    assert f"2 artifacts are not in {copied / 'state' / 'artifacts'}: model mv-" in said
    assert pool(copied) == before
    assert not any((copied / "backup" / "staging").iterdir())
    assert restore(copied) == 2
    assert "was not finished" in capsys.readouterr().err


def ran_on(state: StateFolder, artifact_root: str) -> None:
    """As after a `mill up` with these artifacts, which has ended."""
    with state.locked():
        state.write_runtime(replace(RUNTIME, artifact_root=artifact_root))


def test_artifacts_that_were_kept_elsewhere_are_backed_up_from_there_once_all_is_stopped(
    copied: Path,
) -> None:
    state, elsewhere = StateFolder(copied / "state"), copied / "elsewhere"
    before = files_of(state)
    state.artifacts.rename(elsewhere)
    ran_on(state, str(elsewhere))
    assert backup(copied) == 0
    assert restore(copied) == 0
    assert files_of(StateFolder(copied / "new")) == before

    elsewhere.rename(state.artifacts)
    ran_on(state, str(state.artifacts))
    assert backup(copied) == 0


def test_artifacts_that_were_kept_in_a_bucket_are_refused_once_all_is_stopped(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran_on(StateFolder(copied / "state"), "s3://models/acme")
    assert backup(copied) == 2
    assert "artifacts are in s3://models/acme, which" in capsys.readouterr().err
    assert restore(copied) == 0, "nothing was begun"


def test_an_artifact_that_is_corrupt_is_named_and_makes_no_backup(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = StateFolder(copied / "state")
    asyncio.run(add_model_to(state, copied / "more", "mv-2"))
    [new] = [
        file
        for file in (state.artifacts / "blobs").rglob("*")
        if file.is_file() and not (copied / "backup" / file.relative_to(state.artifacts)).exists()
    ]
    rewritten(new, lambda whole: whole[:-1] + b"!")
    assert backup(copied) == 2
    assert f"{new.name} is corrupt" in capsys.readouterr().err
    assert not any((copied / "backup" / "staging").iterdir())


def test_a_folder_in_which_nothing_ran_has_nothing_to_back_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert backup(tmp_path) == 2
    assert "has nothing to back up" in capsys.readouterr().err
    assert [*tmp_path.iterdir()] in ([], [tmp_path / "backup"])


def test_a_restore_that_fails_leaves_the_folder_empty(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the broker does not take, although all hashes are right."""
    file = content(copied, "stream")
    altered = file.read_bytes()[:-8] + b"????????"
    sha256 = hashlib.sha256(altered).hexdigest()
    BlobFolder(copied / "backup").put(FileEntry("", 0, sha256), _written(copied / "x", altered))
    [path] = (copied / "backup" / "backups").iterdir()
    text = path.read_text().replace(file.name, sha256)
    changed = decode_record("x", _with_checksum(text))
    path.write_bytes(encode_record(changed, "0"))

    assert restore(copied) == 2
    assert "stream MODELS cannot be restored" in capsys.readouterr().err
    assert [found.name for found in (copied / "new").iterdir()] == ["lock"]
    assert backup(copied) == 0
    assert restore(copied) == 0


def _written(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    return file


def _with_checksum(text: str) -> bytes:
    document = json.loads(text)
    canonical = json.dumps(
        document["backup"], ensure_ascii=False, sort_keys=True, separators=(",", ":")
    )
    document["sha256"] = hashlib.sha256(canonical.encode()).hexdigest()
    return json.dumps(document).encode()
