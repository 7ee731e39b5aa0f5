"""`deploy/compose/make-secrets`: a container is given its own key and no other one."""

import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from cli.certificates import NAMES, CertificateFolder

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
    for private in (folder, folder / "tls", folder / "certificates"):
        assert stat.S_IMODE(private.stat().st_mode) == 0o700


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
