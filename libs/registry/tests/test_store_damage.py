"""Changed bytes are never served, and the same content again repairs them."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from registry.errors import CorruptArtifactError
from registry.store import FolderStore
from registry_support.store_files import TREES, FolderOf, blob_of, flip, many, read, write


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
