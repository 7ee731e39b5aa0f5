"""`mill certs`: an authority and its certificates, renewed and never replaced."""

import shutil
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from modelmill_cli.app import run_app
from modelmill_cli.certificates import NAMES, CertificateFolder, kept_renewed
from modelmill_service_kit.errors import PreconditionError
from modelmill_testkit.waiting import eventually


def certificate(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def hosts(file: Path) -> set[str]:
    names = certificate(file).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return {str(name.value) for name in names.value}


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line with which the command says that it cannot."""
    assert run_app(["certs", *map(str, arguments)]) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert said.out == ""
    return line


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert run_app(["certs", str(tmp_path / "certs")]) == 0
    return tmp_path / "certs"


def test_each_name_gets_a_certificate_to_serve_and_to_call_with(folder: Path):
    authority = certificate(folder / "ca.pem")
    for name in NAMES:
        leaf = certificate(folder / f"{name}.pem")
        leaf.verify_directly_issued_by(authority)
        assert hosts(folder / f"{name}.pem") == {name, "localhost", "127.0.0.1", "::1"}
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
        assert timedelta(days=89) < leaf.not_valid_after_utc - datetime.now(UTC)
    serials = {certificate(folder / f"{name}.pem").serial_number for name in ("ca", *NAMES)}
    assert len(serials) == len(NAMES) + 1


def test_keys_are_readable_by_their_owner_alone(folder: Path):
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    keys = {f"{name}-key.pem" for name in ("ca", *NAMES)}
    assert {file.name for file in folder.glob("*-key.pem")} == keys
    assert {stat.S_IMODE((folder / key).stat().st_mode) for key in keys} == {0o600}


def test_it_says_what_it_made_and_until_when_and_no_key(folder: Path, capsys):
    capsys.readouterr()
    assert run_app(["certs", str(folder), "--dns", "trainer=gpu.example"]) == 0
    said = capsys.readouterr().out
    ends = certificate(folder / "trainer.pem").not_valid_after_utc
    assert f"made  trainer            until {ends:%Y-%m-%d %H:%M} UTC" in said
    assert said.count("kept  ") == len(NAMES)
    assert "PRIVATE" not in said


def test_run_again_it_changes_nothing(folder: Path):
    before = contents(folder)
    assert run_app(["certs", str(folder)]) == 0
    assert contents(folder) == before


@pytest.mark.parametrize("lost", ["trainer.pem", "trainer-key.pem"])
def test_what_is_missing_is_made_by_the_same_authority(folder: Path, lost: str):
    before = contents(folder)
    (folder / lost).unlink()
    assert run_app(["certs", str(folder)]) == 0
    changed = {name for name, content in contents(folder).items() if content != before[name]}
    assert changed == {"trainer.pem", "trainer-key.pem"}
    certificate(folder / "trainer.pem").verify_directly_issued_by(certificate(folder / "ca.pem"))


def test_what_is_near_its_end_is_renewed_with_the_names_that_it_had(folder: Path):
    (folder / "trainer.pem").unlink()
    near = CertificateFolder(folder)
    # Made five minutes ago, as clocks go: most of its life is over.
    near.ensure(names=["trainer"], life=timedelta(minutes=2), hosts={"trainer": ["gpu.example"]})
    before = contents(folder)

    assert run_app(["certs", str(folder)]) == 0
    changed = {name for name, content in contents(folder).items() if content != before[name]}
    assert changed == {"trainer.pem", "trainer-key.pem"}
    assert "gpu.example" in hosts(folder / "trainer.pem")


def test_further_names_go_to_one_certificate_or_to_all(folder: Path):
    requested = ("--dns", "trainer=gpu.example", "--dns", "10.0.0.7")
    assert run_app(["certs", str(folder), *requested]) == 0
    assert {"gpu.example", "10.0.0.7"} <= hosts(folder / "trainer.pem")
    assert hosts(folder / "gateway.pem") == {"gateway", "localhost", "127.0.0.1", "::1", "10.0.0.7"}


@pytest.mark.parametrize(
    ("requested", "said"),
    [
        ("gateway", "could call and answer in its place"),
        ("trainer=gateway", "could call and answer in its place"),
        ("nobody=a.example", "there is no 'nobody', but gateway, moderation"),
        ("two words", "'two words' is neither a DNS name nor an address"),
        ("", "'' is neither a DNS name nor an address"),
    ],
)
def test_a_name_that_would_deceive_or_is_none_is_refused(folder: Path, capsys, requested, said):
    before = contents(folder)
    capsys.readouterr()
    assert said in refusal(capsys, folder, "--dns", requested)
    assert contents(folder) == before


def _key_lost(folder: Path) -> str:
    (folder / "ca-key.pem").unlink()
    return f"there is no {folder / 'ca-key.pem'}, so nothing can be made or renewed. Bring it back"


def _certificate_lost(folder: Path) -> str:
    (folder / "ca.pem").unlink()
    return f"{folder / 'ca-key.pem'} is there, but not the {folder / 'ca.pem'} that it belongs to"


def _key_of_another(folder: Path) -> str:
    shutil.copy(folder / "nats-key.pem", folder / "ca-key.pem")
    return f"{folder / 'ca-key.pem'} is not the key of {folder / 'ca.pem'}. Bring it back, or name"


def _garbled(folder: Path) -> str:
    (folder / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nno\n")
    return "are not a certificate and an unencrypted key in PEM. Bring them back"


def _of_another_authority(folder: Path) -> str:
    other = folder.parent / "other"
    CertificateFolder(other).ensure()
    shutil.copy(other / "nats.pem", folder / "nats.pem")
    return f"{folder / 'nats.pem'} was not made by {folder / 'ca.pem'}. Move it away"


@pytest.mark.parametrize(
    "spoil", [_key_lost, _certificate_lost, _key_of_another, _garbled, _of_another_authority]
)
def test_a_folder_that_cannot_be_used_stays_as_it_is_and_the_line_says_what_to_do(
    folder: Path, capsys, spoil
):
    said = spoil(folder)
    before = contents(folder)
    capsys.readouterr()
    assert said in refusal(capsys, folder)
    assert contents(folder) == before


def test_an_authority_that_has_expired_makes_nothing(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("modelmill_cli.certificates.AUTHORITY_LIFE", timedelta(minutes=-1))
    with pytest.raises(PreconditionError, match=r"ca\.pem expired on 20.*name another folder"):
        CertificateFolder(tmp_path / "certs").ensure()


def test_no_certificate_outlives_its_authority(folder: Path, capsys):
    capsys.readouterr()
    assert "before a certificate of 9999 days would. Give fewer --days" in refusal(
        capsys, folder, "--days", 9999
    )


def test_a_file_is_no_folder(tmp_path: Path, capsys):
    (tmp_path / "file").write_text("")
    assert "is a file" in refusal(capsys, tmp_path / "file")


async def test_while_a_stack_runs_its_certificates_are_renewed(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("modelmill_cli.certificates.LOOK_AGAIN", timedelta(milliseconds=50))
    folder = CertificateFolder(tmp_path / "certs")
    async with kept_renewed(folder, pytest.fail):
        folder.certificate("trainer").unlink()
        await eventually(folder.certificate("trainer").exists)


async def test_a_stack_whose_certificates_are_not_renewed_says_so(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("modelmill_cli.certificates.LOOK_AGAIN", timedelta(milliseconds=50))
    folder, said = CertificateFolder(tmp_path / "certs"), []
    async with kept_renewed(folder, said.append):
        folder.key("ca").unlink()
        await eventually(lambda: said)
    assert said[0].startswith(f"certificates are not renewed: there is no {folder.key('ca')}")
