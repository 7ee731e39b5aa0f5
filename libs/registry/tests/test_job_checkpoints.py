"""Whoever saves, is overtaken, crashes or deletes late: what a job's state names can be read."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_registry.job_checkpoints import JobCheckpoints, forget_checkpoints
from modelmill_registry.store import FolderStore
from modelmill_registry.verifying_store import VerifyingStore
from modelmill_service_kit.errors import NotFoundError
from registry_support.places import Place
from registry_support.store_files import FolderOf, read, write

JOB, OTHER = "ftjob-1", "ftjob-2"
CONTENTS = (b"=a", b"=b")
"""Few, so that checkpoints share contents, within a claim and across."""


class CrashError(Exception):
    """The process died."""


@dataclass
class State:
    """What the bus says: who holds the job, and the checkpoints that it names, newest first."""

    fence: int = 0
    named: tuple[str, ...] = ()


@dataclass
class Claimant:
    """Holds a claim, or did; knows what the state was when it last wrote it."""

    fence: int
    named: tuple[str, ...]
    checkpoints: JobCheckpoints
    step: int = 0
    committed: list[str] = field(default_factory=list)


class Claims(RuleBasedStateMachine):
    """One job, its claims in order, and another job that computes the very same."""

    scratch: Path
    store: ArtifactStore

    @initialize()
    def begin(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.scratch = Path(self._folder.name)
        self.store = FolderStore(self.scratch / "store")
        self.state, self.claimants = State(), list[Claimant]()
        self.trees: dict[str, dict[str, bytes]] = {}
        other = JobCheckpoints(self.store, OTHER, 1)
        self.others = [self.commit(other, content, step) for step, content in enumerate(CONTENTS)]

    def teardown(self) -> None:
        if hasattr(self, "_folder"):
            self._folder.cleanup()

    def commit(self, checkpoints: JobCheckpoints, content: bytes, step: int) -> str:
        tree = {"weights": content, "shared": CONTENTS[0]}
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            write(Path(folder), tree)
            digest = checkpoints.commit(Path(folder), step, form="train", made_from={})
        self.trees[digest] = tree
        return digest

    @rule()
    def claim(self) -> None:
        self.state = State(self.state.fence + 1, self.state.named)
        checkpoints = JobCheckpoints(self.store, JOB, self.state.fence)
        self.claimants.append(Claimant(self.state.fence, self.state.named, checkpoints))

    @precondition(lambda self: self.claimants)
    @rule(data=st.data(), content=st.sampled_from(CONTENTS))
    def save(self, data: st.DataObject, content: bytes) -> None:
        who = data.draw(st.sampled_from(self.claimants))
        who.step += 1
        who.committed.append(self.commit(who.checkpoints, content, who.step))

    @precondition(lambda self: any(who.committed for who in self.claimants))
    @rule(data=st.data(), answered=st.booleans())
    def name(self, data: st.DataObject, answered: bool) -> None:
        """Compare-and-set; whoever was overtaken learns of it, or dies before it does."""
        who = data.draw(st.sampled_from([one for one in self.claimants if one.committed]))
        digest = who.committed[-1]
        if who.fence != self.state.fence:
            self.claimants.remove(who)
            return
        if digest not in self.state.named:
            self.state = State(who.fence, (digest, *self.state.named[:1]))
        if answered:
            who.named = self.state.named
            who.checkpoints.keep_only(who.named)
            left = self.manifests(who.fence)
            assert left == set(who.named), "no more than what is named"

    @precondition(lambda self: self.claimants)
    @rule(data=st.data(), after=st.integers(0, 3))
    def delete_late(self, data: st.DataObject, after: int) -> None:
        """By what was known, and perhaps dying in between; only between saving and saving."""
        who = data.draw(st.sampled_from(self.claimants))
        if who.fence == self.state.fence and who.named != self.state.named:
            return  # it waits for the answer to what it wrote
        if who.committed and who.committed[-1] not in who.named:
            return  # it has something to name first
        try:
            with dying(self.store, who.fence, after):
                who.checkpoints.keep_only(who.named)
        except CrashError:
            self.claimants.remove(who)

    @rule()
    def crash(self) -> None:
        if self.claimants:
            self.claimants.pop()

    @invariant()
    def what_is_named_can_be_read(self) -> None:
        if not hasattr(self, "state"):
            return
        now = JobCheckpoints(self.store, JOB, self.state.fence)
        for digest in self.state.named:
            assert read(now.materialise(digest)) == self.trees[digest]
        other = JobCheckpoints(self.store, OTHER, 1)
        assert [read(other.materialise(digest)) for digest in self.others]

    def manifests(self, fence: int) -> set[str]:
        folders = (self.scratch / "store" / "parts" / JOB).glob("*/manifests/*.json")
        return {f"sha256:{path.stem}" for path in folders if int(path.parent.parent.name) <= fence}


class dying:  # noqa: N801
    """Within the block, deletions in the job's parts raise after so many."""

    def __init__(self, store: ArtifactStore, fence: int, after: int) -> None:
        self._left = after
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> None:
        for name in ("_drop_manifest", "_drop_blob"):
            real = getattr(FolderStore, name)

            def drop(*arguments: object, _real: object = real) -> object:
                if not self._left:
                    raise CrashError
                self._left -= 1
                assert callable(_real)
                return _real(*arguments)

            self._patch.setattr(FolderStore, name, drop)

    def __exit__(self, *_error: object) -> None:
        self._patch.undo()


TestClaims = pytest.mark.tier("test")(Claims.TestCase)
TestClaims.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_the_newest_two_are_kept_over_claims_and_none_once_the_job_is_forgotten(
    store: VerifyingStore, place: Place, folder_of: FolderOf
) -> None:
    named: list[str] = []
    for fence in (3, 8):
        checkpoints = JobCheckpoints(store, JOB, fence)
        for step in range(1, 5):
            folder = folder_of({"weights": b"=%d" % step, "same": b"=same"})
            digest = checkpoints.commit(
                folder, step, form="train", made_from={}, attributes={"versions": ["mv-1"]}
            )
            named = [digest, *named[:1]]
            checkpoints.keep_only(named)
            assert len([name for name in place.names() if "manifests" in name]) == len(named)

    told = checkpoints.manifest(named[0])
    assert (told.kind, told.form) == ("checkpoint", "train")
    assert told.attributes == {"versions": ["mv-1"], "step": 4, "job": JOB, "fence": 8}
    assert read(checkpoints.materialise(named[1])) == {"weights": b"=3", "same": b"=same"}

    forget_checkpoints(store, JOB)
    assert place.names() == []
    with pytest.raises(NotFoundError):
        place.fresh().open().part(f"{JOB}/8").manifest(named[0])


def test_a_claim_that_was_overtaken_reaches_nothing_of_a_later_one(
    store: VerifyingStore, folder_of: FolderOf
) -> None:
    first, second = (JobCheckpoints(store, JOB, fence) for fence in (1, 2))
    old = first.commit(folder_of({"a": b"=1"}), 1, form="train", made_from={})
    new = second.commit(folder_of({"a": b"=1"}), 1, form="train", made_from={})

    first.keep_only({old})

    assert old != new
    assert read(second.materialise(new)) == read(second.materialise(old)) == {"a": b"=1"}
