"""The store through its door: what goes in comes out, or is refused, or is called corrupt."""

import io
import multiprocessing
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from registry.durable import make_folder
from registry.errors import CorruptArtifactError
from registry.store import FolderStore
from service_kit.errors import InvalidInputError, NotFoundError

FolderOf = Callable[[Mapping[str, bytes]], Path]

NAMES = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters='/\\:"'),
    min_size=1,
    max_size=12,
).filter(lambda name: name not in (".", "..") and not name.endswith((".pt", ".ckpt")))
# Begins with what no pickle or archive begins with; those are refused, as other tests show.
CONTENTS = st.just(b"") | st.binary(max_size=200).map(lambda content: b"=" + content)
TREES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map("/".join), CONTENTS, min_size=1, max_size=8
).filter(
    # A name cannot be a file and a folder at once.
    lambda tree: not any(a != b and b.startswith(f"{a}/") for a in tree for b in tree)
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
many = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def write(folder: Path, tree: Mapping[str, bytes]) -> Path:
    for path, content in tree.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def read(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def blob_of(store_root: Path, sha256: str) -> Path:
    return store_root / "blobs" / "sha256" / sha256[:2] / sha256


def flip(path: Path, position: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


@many
@given(tree=TREES, attributes=st.dictionaries(st.text(), JSON, max_size=3))
def test_any_tree_comes_back_as_it_went_in_and_has_one_digest(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, bytes], attributes: dict[str, Any]
) -> None:
    root = tmp_path_factory.mktemp("tree")
    store, other = FolderStore(root / "store"), FolderStore(root / "other")
    first, again = write(root / "one", tree), write(root / "two", dict(reversed(tree.items())))

    kept = store.commit(first, kind="file", form="jsonl", attributes=attributes)
    repeated = other.commit(again, kind="file", form="jsonl", attributes=attributes)

    assert read(store.materialise(kept.digest)) == tree
    assert repeated.digest == kept.digest
    assert store.manifest(kept.digest) == kept
    assert kept.attributes == attributes
    assert kept.size_bytes == sum(map(len, tree.values()))


@many
@given(tree=TREES, choice=st.integers(min_value=0), position=st.integers(min_value=0))
def test_one_flipped_byte_anywhere_is_named_and_never_served(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, bytes], choice: int, position: int
) -> None:
    root = tmp_path_factory.mktemp("flip")
    store = FolderStore(root / "store")
    manifest = store.commit(write(root / "one", tree), kind="file", form="jsonl")
    written = [
        path
        for part in ("blobs", "manifests")
        for path in sorted((root / "store" / part).rglob("*"))
        if path.is_file() and path.stat().st_size
    ]
    victim = written[choice % len(written)]
    flip(victim, position)

    for serve in (store.materialise, store.verify):
        with pytest.raises(CorruptArtifactError) as caught:
            serve(manifest.digest)
        assert caught.value.path == victim.relative_to(root / "store").as_posix()


@pytest.mark.parametrize("part", ["blob", "manifest", "missing", "shorter"])
def test_committing_the_same_content_again_repairs_a_damaged_artifact(
    store: FolderStore, tmp_path: Path, folder_of: FolderOf, part: str
) -> None:
    folder = folder_of({"a": b"some bytes", "b/c": b"others"})
    manifest = store.commit(folder, kind="file", form="jsonl")
    blob = blob_of(tmp_path / "store", manifest.files[0].sha256)
    if part == "manifest":
        flip(tmp_path / "store" / "manifests" / f"{manifest.digest[7:]}.json")
    elif part == "missing":
        blob.unlink()
    elif part == "shorter":
        blob.chmod(0o644)
        blob.write_bytes(b"some")
    else:
        flip(blob)
    with pytest.raises(CorruptArtifactError):
        store.verify(manifest.digest)

    assert store.commit(folder, kind="file", form="jsonl") == manifest
    assert read(store.materialise(manifest.digest)) == read(folder)


def test_a_change_after_the_folder_was_made_is_noticed(
    store: FolderStore, tmp_path: Path, folder_of: FolderOf
) -> None:
    manifest = store.commit(folder_of({"a": b"12345", "b": b"x"}), kind="file", form="jsonl")
    made = store.materialise(manifest.digest)
    flip(made / "a", 2)  # the blob is the same inode

    with pytest.raises(CorruptArtifactError, match="blobs/sha256"):
        store.materialise(manifest.digest)


@pytest.mark.parametrize("harm", ["no marker", "broken marker", "file gone", "extra file", "link"])
def test_a_half_made_or_touched_folder_is_made_again(
    store: FolderStore, tmp_path: Path, folder_of: FolderOf, harm: str
) -> None:
    tree = {"a": b"12345", "b/c": b"x"}
    manifest = store.commit(folder_of(tree), kind="file", form="jsonl")
    made = store.materialise(manifest.digest)
    marker = made.with_name(f"{made.name}.ok")
    if harm == "no marker":
        marker.unlink()
        (made / "a").unlink()
    elif harm == "broken marker":
        marker.write_text("{")
    elif harm == "file gone":
        (made / "b" / "c").unlink()
    elif harm == "extra file":
        (made / "extra.py").write_text("print(1)")
    else:
        (made / "a").unlink()
        (made / "a").symlink_to("/etc/passwd")

    assert read(store.materialise(manifest.digest)) == tree


def test_a_materialised_folder_is_made_once_and_shares_the_blobs(
    store: FolderStore, tmp_path: Path, folder_of: FolderOf
) -> None:
    manifest = store.commit(folder_of({"a": b"12345"}), kind="file", form="jsonl")
    made = store.materialise(manifest.digest)
    inode = (made / "a").stat().st_ino

    assert inode == blob_of(tmp_path / "store", manifest.files[0].sha256).stat().st_ino
    assert store.materialise(manifest.digest) == made
    assert (made / "a").stat().st_ino == inode
    assert (made / "a").stat().st_mode & 0o222 == 0


def test_a_filesystem_without_links_gets_copies(
    store: FolderStore, folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    manifest = store.commit(folder_of({"a/b": b"12345"}), kind="file", form="jsonl")

    made = store.materialise(manifest.digest)

    assert read(made) == {"a/b": b"12345"}
    assert (made / "a" / "b").stat().st_mode & 0o222 == 0
    assert store.materialise(manifest.digest) == made


def test_the_digest_covers_kind_form_origin_and_attributes(
    store: FolderStore, folder_of: FolderOf
) -> None:
    folder = folder_of({"a": b"1"})
    source = store.commit(folder, kind="file", form="jsonl").digest
    digests = {
        store.commit(folder, kind="dataset", form="jsonl").digest,
        store.commit(folder, kind="file", form="csv").digest,
        store.commit(folder, kind="file", form="jsonl", made_from={"base": source}).digest,
        store.commit(folder, kind="file", form="jsonl", attributes={"n": 1}).digest,
        store.commit(folder, kind="file", form="jsonl", attributes={"n": 1.0}).digest,
    }
    assert len(digests | {source}) == 6


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "Model"}, "kind 'Model'"),
        ({"form": "../x"}, "form '../x'"),
        ({"made_from": {"base": "sha256:abc"}}, "made_from 'base'"),
        ({"made_from": {"Base!": "sha256:" + "0" * 64}}, "made_from 'Base!'"),
        ({"attributes": {"x": float("nan")}}, "not plain JSON"),
        ({"attributes": {"x": object()}}, "not plain JSON"),
        ({"attributes": {"x": {1: "one"}}}, "attributes.x has the key 1"),
    ],
)
def test_a_malformed_commit_is_refused_and_leaves_nothing(
    store: FolderStore, tmp_path: Path, folder_of: FolderOf, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInputError, match=r".*") as caught:
        store.commit(folder_of({"a": b"1"}), **({"kind": "file", "form": "jsonl"} | changes))

    assert said in caught.value.message
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]


def test_an_empty_folder_a_missing_one_and_a_link_to_one_are_refused(
    store: FolderStore, tmp_path: Path, folder_of: FolderOf
) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder_of({"a": b"1"}))
    for folder in (folder_of({}), tmp_path / "missing", link):
        with pytest.raises(InvalidInputError):
            store.commit(folder, kind="file", form="jsonl")


@pytest.mark.parametrize(
    "digest", ["", "sha256:", "sha256:" + "A" * 64, "sha256:../../etc/passwd", "0" * 64]
)
def test_what_is_no_digest_is_not_found(store: FolderStore, digest: str) -> None:
    for ask in (store.manifest, store.materialise, store.verify):
        with pytest.raises(NotFoundError):
            ask(digest)


def test_a_digest_nobody_committed_is_not_found(store: FolderStore) -> None:
    with pytest.raises(NotFoundError):
        store.materialise("sha256:" + "0" * 64)


def archive(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as stream:
        stream.writestr(name, b"x")
    return buffer.getvalue()


def object_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return buffer.getvalue()


class Harmful:
    """Runs a command when it is unpickled, as the real ones do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/never",)


LONG = "x" * (3 << 20)
UNSAFE = {
    **{f"weights{suffix}": b"x" for suffix in (".pt", ".pth", ".pkl", ".pickle", ".ckpt")},
    "model.JOBLIB": b"x",
    **{f"proto{n}.bin": pickle.dumps(Harmful(), protocol=n) for n in range(6)},
    "long0.bin": pickle.dumps((LONG, Harmful()), protocol=0),
    "long4.json": pickle.dumps((LONG, Harmful()), protocol=4),
    "plain4.txt": pickle.dumps({"a": [1, 2, "three"]}, protocol=4),
    "old_torch.bin": b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.",
    "inst.bin": b"(S'touch /tmp/never'\nios\nsystem\n.",
    "obj.bin": b"(cos\nsystem\nS'touch /tmp/never'\no.",
    "torch.bin": archive("archive/data.pkl"),
    "arrays.npz": archive("a.npy"),
    "objects.npy": object_array(),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_a_file_that_runs_code_when_loaded_is_refused_by_name_or_content(
    store: FolderStore, folder_of: FolderOf, name: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        store.commit(folder_of({name: UNSAFE[name], "ok.json": b"{}"}), kind="model", form="x")
    assert len(caught.value.errors) == 1
    assert caught.value.message.startswith(name)


@pytest.mark.parametrize("name", ["model.py", "sub/tool.pyc", "kernel.so"])
def test_code_is_refused_in_a_model_and_only_there(
    store: FolderStore, folder_of: FolderOf, name: str
) -> None:
    folder = folder_of({name: b"print(1)"})
    with pytest.raises(InvalidInputError, match="is code"):
        store.commit(folder, kind="model", form="safetensors")
    store.commit(folder, kind="file", form="jsonl")


def test_raw_weights_and_texts_that_only_look_dangerous_are_kept(
    store: FolderStore, folder_of: FolderOf
) -> None:
    random = np.random.default_rng(0)
    files = {
        "openvino_model.bin": random.integers(0, 256, 100_000, np.uint8).tobytes(),
        "zeros.bin": bytes(10_000),
        "int8.bin": b"\x80\x02" + random.integers(0, 256, 1000, np.uint8).tobytes(),
        # A safetensors header of 640 bytes starts with the two bytes of a pickle of protocol 2.
        "model.safetensors": (640).to_bytes(8, "little") + b"{}" + b" " * 638,
        "content.txt": b"content\nfoo\nRed",
        "prose.md": b"(in short)\nnothing\n",
        "array.npy": b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False}",
    }
    store.commit(folder_of(files), kind="model", form="openvino-int8")


def test_an_upload_may_be_any_text(store: FolderStore, folder_of: FolderOf) -> None:
    store.commit(folder_of({"content": b"cos\nsystem\n(S'ls'\ntR."}), kind="file", form="csv")


def test_links_pipes_and_bad_names_are_listed_together(
    store: FolderStore, tmp_path: Path, folder_of: FolderOf
) -> None:
    folder = folder_of({"ok": b"1", "back\\slash": b"2", "sub/line\nbreak": b"3"})
    (folder / "file-link").symlink_to("/etc/passwd")
    (folder / "folder-link").symlink_to(tmp_path)
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "sub" / "pipe")
    with pytest.raises(InvalidInputError) as caught:
        store.commit(folder, kind="file", form="jsonl")
    assert len(caught.value.errors) == 6


def test_a_name_that_is_not_utf8_is_refused(store: FolderStore, folder_of: FolderOf) -> None:
    folder = folder_of({"ok": b"1"})
    (folder / os.fsdecode(b"\xff\xfe")).write_bytes(b"x")
    with pytest.raises(InvalidInputError, match="UTF-8"):
        store.commit(folder, kind="file", form="jsonl")


def test_staging_is_swept_of_what_dead_processes_left(
    store: FolderStore, tmp_path: Path, folder_of: FolderOf
) -> None:
    staging = tmp_path / "store" / "staging"
    (staging / "blob-old").write_bytes(b"x")
    make_folder(staging / "materialise-old" / "sub")
    (staging / "blob-new").write_bytes(b"x")
    for name in ("blob-old", "materialise-old"):
        os.utime(staging / name, (0, 0))

    store.commit(folder_of({"a": b"1"}), kind="file", form="jsonl")

    assert [path.name for path in staging.iterdir()] == ["blob-new"]


def test_everything_is_on_the_disk_before_it_has_its_name_and_the_manifest_comes_last(
    store: FolderStore, tmp_path: Path, folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[int] = set()
    named: list[Path] = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        real_fsync(descriptor)

    def replace(source: Path, target: Path) -> None:
        assert source.stat().st_ino in synced, f"{target} gets its name before its bytes are safe"
        assert all(path.parent.stat().st_ino in synced for path in named), "a name is not safe yet"
        named.append(target)
        synced.discard(target.parent.stat().st_ino)
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    folder = folder_of({"a": b"1", "b": b"2", "c/d": b"3"})
    manifest = store.commit(folder, kind="file", form="jsonl")

    assert [path.suffix for path in named] == ["", "", "", ".json"]
    assert all(path.parent.stat().st_ino in synced for path in named)
    assert named[-1].stem == manifest.digest.removeprefix("sha256:")


def commit_and_make(root: Path, folder: Path, start: Any, answers: Any) -> None:
    """One of several processes that do the same at the same time."""
    start.wait()
    store = FolderStore(root)
    manifest = store.commit(folder, kind="file", form="jsonl")
    answers.put((manifest.digest, read(store.materialise(manifest.digest))))


def test_processes_that_commit_the_same_content_at_once_all_succeed(
    tmp_path: Path, folder_of: FolderOf
) -> None:
    tree = {f"part-{n}/content": bytes([n]) * 50_000 for n in range(20)}
    folder = folder_of(tree)
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(3), context.Queue()
    arguments = (tmp_path / "store", folder, start, answers)
    processes = [context.Process(target=commit_and_make, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    outcomes = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(timeout=60)

    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len({digest for digest, _ in outcomes}) == 1
    assert all(files == tree for _, files in outcomes)
    assert not list((tmp_path / "store" / "staging").iterdir())
