"""`deploy/compose/make-secrets`: a container is given its own key and no other one."""

import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from modelmill_cli.certificates import NAMES, CertificateFolder
from modelmill_service_kit.child_process import SECRET

SCRIPT = Path(__file__).parents[2] / "deploy" / "compose" / "make-secrets"


def make_secrets(folder: Path) -> None:
    mill = Path(sys.executable).parent / "mill"
    command = (str(SCRIPT), str(folder))
    subprocess.run(command, env={"MILL": str(mill), "PATH": "/usr/bin:/bin"}, check=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("compose") / "secrets"
    make_secrets(made)
    return made


def test_each_container_gets_the_authority_and_its_own_pair(folder: Path):
    for name in NAMES:
        given = folder / "tls" / name
        assert {file.name for file in given.iterdir()} == {
            "ca.pem",
            f"{name}.pem",
            f"{name}-key.pem",
        }
        # Its user is nobody on this machine.
        assert all(file.stat().st_mode & stat.S_IROTH for file in given.iterdir())
    assert {one.name for one in (folder / "tls").iterdir()} == set(NAMES)


def test_on_this_machine_only_the_owner_reaches_what_containers_read(folder: Path):
    for private in (folder, folder / "tls", folder / "certificates", folder / "secrets"):
        assert stat.S_IMODE(private.stat().st_mode) == 0o700


SECRETS = {
    "SERVICE_SECRET": "service-secret",
    "OTLP_TOKEN": "otlp-token",
    "WEBHOOK_KEY": "webhook-key",
    "TRITON_TOKEN": "triton-token",
    "GRAFANA_PASSWORD": "grafana-password",
}


def test_each_secret_is_a_file_and_none_is_a_variable(folder: Path):
    files = {name: folder / "secrets" / file for name, file in SECRETS.items()}
    assert len({file.read_text() for file in files.values()}) == len(SECRETS)
    text = (folder / "env").read_text()
    for name, file in files.items():
        assert len(file.read_text()) >= 32
        assert file.stat().st_mode & stat.S_IROTH  # its reader is nobody on this machine
        assert file.read_text() not in text
        assert f"{name}=" not in text


def test_secrets_that_were_variables_become_files_and_stay_the_same(tmp_path: Path):
    folder = tmp_path / "secrets"
    make_secrets(folder)
    for file in SECRETS.values():
        (folder / "secrets" / file).unlink()
    with (folder / "env").open("a") as env:
        env.writelines(f"{name}=old-{name}\n" for name in SECRETS)

    make_secrets(folder)

    for name, file in SECRETS.items():
        assert (folder / "secrets" / file).read_text() == f"old-{name}"
        assert f"{name}=" not in (folder / "env").read_text()


def test_no_container_is_given_a_secret_in_its_environment():
    composed = yaml.safe_load((SCRIPT.parents[2] / "docker-compose.yml").read_text())
    for name, service in composed["services"].items():
        for variable in service.get("environment", {}):
            assert variable.endswith("_FILE") or not SECRET.search(variable), (name, variable)


def test_run_again_it_hands_out_what_was_renewed_and_keeps_the_rest(folder: Path):
    given = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    certificates = CertificateFolder(folder / "certificates")
    certificates.certificate("trainer").unlink()
    certificates.ensure(names=["trainer"], life=timedelta(minutes=1))
    # As it was before there were certificates.
    lines = (folder / "env").read_text().splitlines(keepends=True)
    (folder / "env").write_text("".join(x for x in lines if not x.startswith("TLS_FOLDER=")))

    make_secrets(folder)
    changed = {file.relative_to(folder) for file, was in given.items() if file.read_bytes() != was}
    pair = ("trainer.pem", "trainer-key.pem")
    places = (Path("certificates"), Path("tls/trainer"))
    assert changed - {Path("env")} == {place / name for place in places for name in pair}
    assert sorted((folder / "env").read_text().splitlines()) == sorted(
        line.rstrip() for line in lines
    )
