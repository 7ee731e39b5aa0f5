"""Every kind of process is killed once; `python -m tests.supervision` is the long form."""

import stat
from collections.abc import Iterator

import pytest

from tests.supervision.drill import KEPT_RUNNING, Drill
from tests.supervision.site import Site

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def drill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    drill = Drill(Site(tmp_path_factory.mktemp("supervision")))
    drill.begin()
    yield drill
    drill.end()


def test_while_it_works_every_file_is_its_owners_alone(drill: Drill):
    drill.dataset()
    assert_well(drill, "dataset job")
    found = [path for path in drill.site.state.path.rglob("*") if not path.is_symlink()]
    open_to_others = [str(path) for path in found if stat.S_IMODE(path.lstat().st_mode) & 0o077]
    assert len(found) > 50
    assert open_to_others == []


def test_no_process_has_a_secret_in_its_environment_or_its_command(drill: Drill):
    state = drill.site.state
    secrets = {
        state.read_runtime().service_secret,
        state.otlp_token_file.read_text(),
        (state.keys / "webhook.key").read_text(),
    }
    processes = [each for found in drill.site.processes().values() for each in found]
    assert len(processes) >= len(KEPT_RUNNING)
    for process in processes:
        told = [*process.environ().values(), *process.cmdline()]
        assert not any(secret in text for text in told for secret in secrets), process.cmdline()


@pytest.mark.parametrize("kind", KEPT_RUNNING)
def test_who_is_killed_is_started_again_and_everything_works(drill: Drill, kind: str):
    drill.kill_one(kind)
    assert_well(drill, kind)


def test_what_is_killed_before_it_is_the_broker_is_started_again(drill: Drill):
    drill.kill_watchdog()
    assert_well(drill, "watchdog")


def test_a_training_whose_process_is_killed_succeeds(drill: Drill):
    drill.train(drill.dataset(), ["training job"])
    assert_well(drill, "training job")


def test_after_a_killed_mill_beside_a_frozen_service_the_next_one_starts_at_once(drill: Drill):
    drill.freeze("moderation")
    drill.kill_mill("mill beside a frozen service")
    assert_well(drill, "mill beside a frozen service")


def test_a_stop_while_a_service_is_started_again_leaves_nothing(drill: Drill):
    drill.kill("trainer")
    drill.stop("stop while a service is started again")
    assert_well(drill, "stop while a service is started again")
    assert drill.site.processes() == {}


def assert_well(drill: Drill, kind: str) -> None:
    assert drill.tally.failures == []
    assert drill.tally.seconds[kind]
