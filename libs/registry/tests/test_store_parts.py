"""Parts of a store: nothing is shared with them, so what is in them may be deleted."""

from collections.abc import Callable

import pytest
from modelmill_registry.manifest import manifest_name
from modelmill_registry.materialised import in_use
from modelmill_registry.verifying_store import VerifyingStore
from modelmill_service_kit.errors import InvalidInputError, NotFoundError, PreconditionError
from registry_support.places import FolderPlace, Place, in_hours
from registry_support.store_files import FolderOf, read


def saved(part: VerifyingStore, folder_of: FolderOf, **tree: bytes) -> str:
    folder = folder_of({name: content for name, content in tree.items()})
    return part.commit(folder, kind="checkpoint", form="train").digest


def test_a_part_has_what_is_committed_to_it_and_nothing_else(
    store: VerifyingStore, place: Place, folder_of: FolderOf
) -> None:
    part = store.part("job-1/1")
    digest = saved(part, folder_of, a=b"one")

    assert read(place.open().part("job-1/1").materialise(digest)) == {"a": b"one"}
    for other in (store, store.part("job-1/2"), store.part("job-10/1")):
        with pytest.raises(NotFoundError):
            other.manifest(digest)
    assert store.parts("job-1") == ["1"] or store.parts("job-1") == ["1", "2"]


def test_what_is_deleted_in_a_part_is_whole_everywhere_else(
    store: VerifyingStore, folder_of: FolderOf
) -> None:
    places = [store, store.part("job-1/1"), store.part("job-1/2")]
    digests = {saved(each, folder_of, a=b"the same") for each in places}
    [digest] = digests

    store.part("job-1/1").keep_only(())

    with pytest.raises(NotFoundError):
        store.part("job-1/1").manifest(digest)
    assert store.verify(digest).digest == places[2].verify(digest).digest == digest


def test_what_is_kept_keeps_the_contents_that_it_shares_with_what_goes(
    store: VerifyingStore, place: Place, folder_of: FolderOf
) -> None:
    part = store.part("job-1/1")
    old = saved(part, folder_of, shared=b"shared", own=b"old")
    new = saved(part, folder_of, shared=b"shared", own=b"new")
    before = len(place.names())

    part.keep_only({new})
    part.keep_only({new})

    with pytest.raises(NotFoundError):
        part.manifest(old)
    assert read(part.materialise(new)) == {"shared": b"shared", "own": b"new"}
    assert before - len(place.names()) == 2, "a manifest and a content of its own"


def test_contents_that_a_crash_left_without_a_manifest_go_too(
    store: VerifyingStore, place: Place, folder_of: FolderOf
) -> None:
    part = store.part("job-1/1")
    half = saved(part, folder_of, a=b"half deleted, or half committed")
    place.delete(f"parts/job-1/1/{manifest_name(half)}")

    part.keep_only(())

    assert place.names() == []


def test_contents_go_however_young_another_clock_makes_them(
    place: Place, folder_of: FolderOf
) -> None:
    part = place.open(now=in_hours(-25)).part("job-1/1")
    saved(part, folder_of, a=b"kept at an hour that is still to come")

    part.keep_only(())

    assert place.names() == []


def test_only_a_part_deletes(store: VerifyingStore, folder_of: FolderOf) -> None:
    digest = saved(store, folder_of, a=b"one")
    with pytest.raises(PreconditionError):
        store.keep_only(())
    assert store.verify(digest)


def test_parts_go_with_all_below_them_and_their_neighbours_stay(
    store: VerifyingStore, place: Place, folder_of: FolderOf
) -> None:
    for name in ("job-1/1", "job-1/2"):
        saved(store.part(name), folder_of, a=b"one")
    stays = saved(store.part("job-10/1"), folder_of, a=b"one")
    whole = saved(store, folder_of, a=b"one")

    store.remove_parts("job-1")
    store.remove_parts("job-1")

    assert store.parts("job-1") == []
    assert not [name for name in place.names() if "job-1/" in name]
    assert store.verify(whole)
    assert store.part("job-10/1").verify(stays)


def test_a_sweep_of_the_store_leaves_its_parts_alone(
    store: VerifyingStore, place: Place, folder_of: FolderOf
) -> None:
    digest = saved(store.part("job-1/1"), folder_of, a=b"one")
    assert place.open(now=in_hours(25)).sweep().blobs == 0
    assert store.part("job-1/1").verify(digest)


@pytest.mark.parametrize("name", ["", "..", "a/..", "/a", "a/b/c", "a b", "a/", "ä"])
def test_a_name_that_leads_elsewhere_is_refused(
    store: VerifyingStore, place: Place, folder_of: FolderOf, name: str
) -> None:
    digest = saved(store, folder_of, a=b"one")
    calls: list[Callable[[str], object]] = [store.part, store.parts, store.remove_parts]
    for call in calls:
        with pytest.raises(InvalidInputError, match="no name of a part"):
            call(name)
    assert store.verify(digest)


def test_in_a_folder_the_local_copy_of_what_goes_is_gone_from_the_disk_though_it_is_held(
    folder_place: FolderPlace, folder_of: FolderOf
) -> None:
    part = folder_place.open().part("job-1/1")
    content = b"=" * 100_000
    digest = saved(part, folder_of, a=content)
    folder = part.materialise(digest)
    with in_use(folder), (folder / "a").open("rb") as reader:
        part.keep_only(())
        assert not folder.exists()
        assert reader.read() == content

    left = [path for path in (folder_place.root / "parts").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in left) == 0
    assert not list((folder_place.root / "staging").iterdir())
