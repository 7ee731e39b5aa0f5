"""Contents that no manifest names go, once they are old; what a commit needs stays."""

import time
from typing import Any

import pytest
from modelmill_registry.artifact_store import SweepReport
from modelmill_registry.errors import CorruptArtifactError
from modelmill_registry.manifest import blob_name, manifest_name
from modelmill_registry.verifying_store import VerifyingStore
from registry_support.places import Place, flip_at, in_hours
from registry_support.store_files import FolderOf, read


def wait_until(moment: float) -> None:
    while (left := moment - time.time()) > 0:
        time.sleep(left)


@pytest.fixture
def orphan(store: VerifyingStore, place: Place, folder_of: FolderOf) -> str:
    """The name of a content of 6 bytes that lost its manifest."""
    manifest = store.commit(folder_of({"a": b"orphan"}), kind="file", form="jsonl")
    place.delete(manifest_name(manifest.digest))
    return blob_name(manifest.files[0].sha256)


def test_old_orphans_are_swept_and_what_manifests_name_stays(
    store: VerifyingStore, place: Place, folder_of: FolderOf, orphan: str
) -> None:
    tree = {"a": b"named", "b": b"named too"}
    kept = store.commit(folder_of(tree), kind="file", form="jsonl")

    report = place.open(now=in_hours(25)).sweep()

    assert report == SweepReport(blobs=1, bytes=6)
    assert orphan not in place.names()
    assert store.verify(kept.digest) == kept
    assert read(store.materialise(kept.digest)) == tree


def test_orphans_within_the_grace_period_stay(place: Place, orphan: str) -> None:
    assert place.open(now=in_hours(23)).sweep() == SweepReport(0, 0)
    assert orphan in place.names()
    assert place.open(now=in_hours(2)).sweep(older_than_seconds=3600) == SweepReport(1, 6)


def test_a_sweep_beside_a_commit_takes_nothing_of_it(
    place: Place, folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch, orphan: str
) -> None:
    committer, sweeper = place.open(), place.open(now=in_hours(23))
    put_manifest = committer._put_manifest
    reports: list[SweepReport] = []

    def sweep_first(*arguments: Any) -> None:
        reports.append(sweeper.sweep())
        put_manifest(*arguments)

    monkeypatch.setattr(committer, "_put_manifest", sweep_first)
    tree = {"new": b"not stored before", "old": b"orphan"}
    manifest = committer.commit(folder_of(tree), kind="file", form="jsonl")

    assert reports == [SweepReport(0, 0)]
    assert committer.verify(manifest.digest) == manifest


def test_a_content_that_a_commit_found_after_the_sweep_listed_it_stays(
    place: Place, folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch, orphan: str
) -> None:
    orphaned = time.time()
    sweeper = place.open(now=lambda: orphaned + place.tick_seconds)
    drop = sweeper._drop_blob

    def commit_first(sha256: str, untouched_since: float) -> bool:
        wait_until(orphaned + 2 * place.tick_seconds)
        committer = place.open(now=in_hours(2))
        committer.commit(folder_of({"a": b"orphan"}), kind="file", form="jsonl")
        return drop(sha256, untouched_since)

    monkeypatch.setattr(sweeper, "_drop_blob", commit_first)
    assert sweeper.sweep(older_than_seconds=0) == SweepReport(0, 0)
    assert orphan in place.names()


def test_a_manifest_that_cannot_be_read_stops_the_sweep(
    store: VerifyingStore, place: Place, folder_of: FolderOf, orphan: str
) -> None:
    kept = store.commit(folder_of({"a": b"named"}), kind="file", form="jsonl")
    flip_at(place, manifest_name(kept.digest))
    before = place.names()

    with pytest.raises(CorruptArtifactError, match="manifests/"):
        place.open(now=in_hours(25)).sweep()
    assert place.names() == before
