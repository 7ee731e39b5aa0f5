"""Changed bytes are never served, and the same content again repairs them."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_registry.errors import CorruptArtifactError
from modelmill_registry.manifest import blob_name, manifest_name
from modelmill_registry.store import FolderStore
from modelmill_registry.verifying_store import VerifyingStore
from registry_support.places import BucketPlace, FolderPlace, Place, flip_at
from registry_support.store_files import TREES, FolderOf, few, flip, many, read, write


def flipped_byte_is_found(
    place: Place, folder: Path, tree: dict[str, bytes], choice: int, position: int
) -> None:
    """Commit, change one bit of anything that is kept, and see it refused by its name."""
    manifest = place.open().commit(write(folder, tree), kind="file", form="jsonl")
    written = [name for name in place.names() if place.read(name)]
    victim = written[choice % len(written)]
    flip_at(place, victim, position)

    store = place.open()
    for serve in (store.materialise, store.verify):
        with pytest.raises(CorruptArtifactError) as caught:
            serve(manifest.digest)
        assert caught.value.path == victim


@pytest.mark.tier("check")
@many
@given(tree=TREES, choice=st.integers(min_value=0), position=st.integers(min_value=0))
def test_one_flipped_byte_anywhere_in_a_folder_is_named_and_never_served(
    tmp_path_factory: pytest.TempPathFactory,
    folder_place: FolderPlace,
    tree: dict[str, bytes],
    choice: int,
    position: int,
) -> None:
    folder = tmp_path_factory.mktemp("flip")
    flipped_byte_is_found(folder_place.fresh(), folder, tree, choice, position)


@few
@given(tree=TREES, choice=st.integers(min_value=0), position=st.integers(min_value=0))
def test_one_flipped_byte_anywhere_in_a_bucket_is_named_and_never_served(
    tmp_path_factory: pytest.TempPathFactory,
    bucket_place: BucketPlace,
    tree: dict[str, bytes],
    choice: int,
    position: int,
) -> None:
    folder = tmp_path_factory.mktemp("flip")
    flipped_byte_is_found(bucket_place.fresh(), folder, tree, choice, position)


@pytest.mark.parametrize("part", ["blob", "manifest", "missing", "shorter"])
def test_committing_the_same_content_again_repairs_a_damaged_artifact(
    store: VerifyingStore, place: Place, folder_of: FolderOf, part: str
) -> None:
    folder = folder_of({"a": b"some bytes", "b/c": b"others"})
    manifest = store.commit(folder, kind="file", form="jsonl")
    blob = blob_name(manifest.files[0].sha256)
    if part == "manifest":
        flip_at(place, manifest_name(manifest.digest))
    elif part == "missing":
        place.delete(blob)
    elif part == "shorter":
        place.write(blob, b"some")
    else:
        flip_at(place, blob)
    with pytest.raises(CorruptArtifactError):
        store.verify(manifest.digest)

    assert store.commit(folder, kind="file", form="jsonl") == manifest
    assert read(store.materialise(manifest.digest)) == read(folder)


@pytest.mark.parametrize("harm", ["no marker", "broken marker", "file gone", "extra file", "link"])
def test_a_half_made_or_touched_folder_is_made_again(
    store: VerifyingStore, tmp_path: Path, folder_of: FolderOf, harm: str
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


def test_a_change_after_the_folder_was_made_is_noticed(
    folder_store: FolderStore, tmp_path: Path, folder_of: FolderOf
) -> None:
    manifest = folder_store.commit(folder_of({"a": b"12345", "b": b"x"}), kind="file", form="jsonl")
    made = folder_store.materialise(manifest.digest)
    flip(made / "a", 2)  # the blob is the same inode

    with pytest.raises(CorruptArtifactError, match="blobs/sha256"):
        folder_store.materialise(manifest.digest)


def test_a_materialised_folder_is_made_once_and_shares_the_blobs(
    folder_store: FolderStore, tmp_path: Path, folder_of: FolderOf
) -> None:
    manifest = folder_store.commit(folder_of({"a": b"12345"}), kind="file", form="jsonl")
    made = folder_store.materialise(manifest.digest)
    inode = (made / "a").stat().st_ino

    assert inode == (tmp_path / "store" / blob_name(manifest.files[0].sha256)).stat().st_ino
    assert folder_store.materialise(manifest.digest) == made
    assert (made / "a").stat().st_ino == inode
    assert (made / "a").stat().st_mode & 0o222 == 0


def test_a_filesystem_without_links_gets_copies(
    folder_store: FolderStore, folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    manifest = folder_store.commit(folder_of({"a/b": b"12345"}), kind="file", form="jsonl")

    made = folder_store.materialise(manifest.digest)

    assert read(made) == {"a/b": b"12345"}
    assert (made / "a" / "b").stat().st_mode & 0o222 == 0
    assert folder_store.materialise(manifest.digest) == made
