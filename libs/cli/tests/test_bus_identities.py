"""Identities on the bus: of `mill up`'s own broker, and for somebody else's."""

import stat
from pathlib import Path

import pytest
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.broker_config import Identities
from modelmill_bus.bus import Bus
from modelmill_bus.nkeys import Nkey
from modelmill_bus.subjects import MODEL_READY
from modelmill_cli.app import run_app
from modelmill_cli.broker import broker_command, take_over
from modelmill_cli.process_group import ProcessGroup
from modelmill_cli.stack_options import HOST
from modelmill_cli.state_folder import StateFolder
from modelmill_service_kit.bus_access import Credential, NkeySeed
from modelmill_service_kit.ports import held_port


async def published(state: StateFolder, admitted: str, credential: Credential) -> int:
    """Announce a model to the state folder's broker, admitted so; the message's sequence."""
    with held_port() as port:
        command = broker_command(state, port=port, admitted=admitted)
        async with ProcessGroup(lambda _name, _line: None, mark=state.mark) as processes:
            await processes.start({"nats": command})
            async with Bus.connect(f"nats://{HOST}:{port}", credential, name="cli") as bus:
                return await bus.publish(MODEL_READY, ModelReady(version_id="mv-1"))


@pytest.mark.tier("test")
async def test_a_folder_whose_broker_had_one_token_for_all_goes_on_with_accounts(tmp_path: Path):
    state = StateFolder(tmp_path / "state")
    with state.locked():
        assert await published(state, 'authorization { token: "old" }', "old") == 1

    people = Identities(state.bus_identities)
    people.ensure()
    with state.locked():
        take_over(state)
        assert await published(state, people.authorization(), people.seed("cli")) == 2


def test_identities_for_a_broker_of_ones_own_are_written_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "bus"
    assert run_app(["bus", "identities", str(folder)]) == 0
    first = (folder / "users.conf").read_text()
    (folder / "users.conf").unlink()
    certificates = tmp_path / "certificates"
    assert run_app(["bus", "identities", str(folder), "--certificates", str(certificates)]) == 0

    assert f'cert_file: "{certificates / "nats.pem"}"' in (folder / "tls.conf").read_text()
    assert (folder / "users.conf").read_text() == first
    assert f"trainer: NATS_NKEY_SEED_FILE={folder / 'trainer.nk'}" in capsys.readouterr().out
    assert stat.S_IMODE((folder / "trainer.nk").stat().st_mode) == 0o600
    assert Nkey.from_file(NkeySeed(folder / "observer.nk").file).public in first
