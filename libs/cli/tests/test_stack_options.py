"""The ports of a stack are its own from its start to its end."""

import os
import socket
from pathlib import Path

import pytest
from modelmill_cli import stack_options
from modelmill_cli.keys import LocalKeys
from modelmill_cli.stack_options import HOST, SERVICES, StackOptions, require_all_services
from modelmill_cli.state_folder import StateFolder
from modelmill_cli.wiring import StackSecrets, Wiring
from modelmill_jobs.active import STORE_AT_STOP_SECONDS
from modelmill_service_kit.errors import PreconditionError


def test_each_listener_has_a_unique_port_on_which_its_service_may_listen():
    with StackOptions(http_port=0).held_ports() as ports:
        mine = [port for listeners in ports.values() for port in listeners.values()]
        for port in mine:
            with socket.socket() as other, pytest.raises(OSError, match="in use"):
                other.bind((HOST, port))
            for _ in range(2):  # it is started again
                socket.create_server((HOST, port)).close()
    assert set(ports) == {*SERVICES, "nats"}
    assert len(set(mine)) == len(mine)


def test_the_port_of_the_api_is_the_one_that_was_asked_for_or_its_holder_is_named():
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        taken = StackOptions(http_port=port).held_ports()
        with pytest.raises(PreconditionError, match=rf"port {port} .*\(pid {os.getpid()}\)"):
            taken.__enter__()
    with StackOptions(http_port=port).held_ports() as ports:
        assert ports["gateway"]["http"] == port


def test_only_the_http_api_leaves_loopback(tmp_path: Path):
    options, state = StackOptions(http_port=0, http_host="0.0.0.0"), StateFolder(tmp_path)
    with state.locked(), options.held_ports() as ports:
        (keys := LocalKeys(state.keys)).ensure()
        wiring = Wiring(state, options, keys, StackSecrets(), ports, 0)
        told = {name: wiring.environment(name) for name in SERVICES}

    gateway = told["gateway"]
    assert gateway["GATEWAY_HTTP_ADDRESS"] == f"0.0.0.0:{ports['gateway']['http']}"
    addresses = [
        value
        for name, environment in told.items()
        for key, value in environment.items()
        if key.endswith("_ADDRESS") and key != "GATEWAY_HTTP_ADDRESS"
    ]
    assert addresses
    assert all(address.startswith("127.0.0.1:") for address in addresses)


@pytest.mark.parametrize(
    ("given", "told"), [("s3://models/acme", "s3://models/acme"), ("store", f"{Path.cwd()}/store")]
)
def test_artifacts_are_named_so_that_other_folders_can_find_them(
    tmp_path: Path, given: str, told: str
):
    options, state = StackOptions(http_port=0, artifacts=given), StateFolder(tmp_path)
    with state.locked(), options.held_ports() as ports:
        wiring = Wiring(state, options, LocalKeys(state.keys), StackSecrets(), ports, 0)
        assert wiring.environment("trainer")["TRAINER_ARTIFACT_ROOT"] == told


@pytest.mark.parametrize(
    ("told", "seconds"), [({}, 25), ({"GATEWAY_DRAIN_SECONDS": "60"}, 75), ({"OTHER": "60"}, 25)]
)
def test_a_service_is_killed_only_after_the_time_that_its_end_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: dict[str, str], seconds: float
):
    assert stop_seconds(tmp_path, StackOptions(http_port=0, overrides=told)) == seconds
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert stop_seconds(tmp_path, StackOptions(http_port=0)) == seconds


@pytest.mark.parametrize("drain", ["0", "soon"])
def test_a_job_has_time_to_store_its_checkpoint_whatever_calls_have(tmp_path: Path, drain: str):
    options = StackOptions(http_port=0, overrides={"GATEWAY_DRAIN_SECONDS": drain})
    assert stop_seconds(tmp_path, options) > STORE_AT_STOP_SECONDS


def stop_seconds(folder: Path, options: StackOptions) -> float:
    state = StateFolder(folder)
    with state.locked(), options.held_ports() as ports:
        keys = LocalKeys(state.keys)
        keys.ensure()
        wiring = Wiring(state, options, keys, StackSecrets(), ports, 0)
        return wiring.command("gateway").stop_seconds


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_number_that_is_no_port_is_refused_with_those_that_are(port: int):
    with pytest.raises(PreconditionError, match=f"{port} is not a port. .*65535"):
        StackOptions(http_port=port).held_ports().__enter__()


def test_what_makes_models_is_asked_for_by_how_it_is_installed(monkeypatch: pytest.MonkeyPatch):
    require_all_services()

    monkeypatch.setattr(
        stack_options, "find_spec", lambda name: None if "trainer" in name else object()
    )

    with pytest.raises(
        PreconditionError, match=r"^trainer is not installed\. .*modelmill\[train\]"
    ):
        require_all_services()
