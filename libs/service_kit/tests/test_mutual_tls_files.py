"""Certificate files that are no good are refused by their names, and an end is not kept quiet."""

import logging
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from modelmill_cli.certificates import CertificateFolder
from modelmill_service_kit.certificates import CertificateError
from modelmill_testkit.waiting import eventually
from service_kit_support.made_certificates import certificates, identity, of_another_life, put


def _expired(ours: CertificateFolder, late: CertificateFolder, _: CertificateFolder) -> str:
    put(ours, "moderation", late, "moderation")
    return f"the certificate in {ours.certificate('moderation')} expired on 20"


def _unlike(ours: CertificateFolder, _: CertificateFolder, __: CertificateFolder) -> str:
    shutil.copy(ours.key("trainer"), ours.key("moderation"))
    return f"the key in {ours.key('moderation')} is not that of the certificate in"


def _foreign(ours: CertificateFolder, _: CertificateFolder, theirs: CertificateFolder) -> str:
    put(ours, "moderation", theirs, "moderation")
    return f"was not made by the authority in {ours.certificate('ca')}. Take both from one folder"


def _missing(ours: CertificateFolder, _: CertificateFolder, __: CertificateFolder) -> str:
    ours.certificate("ca").unlink()
    return f"cannot read {ours.certificate('ca')}: No such file"


@pytest.mark.parametrize("spoil", [_expired, _unlike, _foreign, _missing])
def test_files_that_are_no_good_are_refused_by_their_names(
    tmp_path: Path, spoil: Callable[..., str]
):
    ours = certificates(tmp_path / "ours")
    late = of_another_life(ours, tmp_path / "late", timedelta(minutes=-1))
    said = spoil(ours, late, certificates(tmp_path / "theirs"))
    with pytest.raises(CertificateError) as refused:
        identity(ours, "moderation")
    assert said in refused.value.message


@pytest.mark.tier("check")
async def test_a_certificate_that_ends_while_it_is_in_use_is_one_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    ours = certificates(tmp_path / "ours", timedelta(seconds=2))
    shown = identity(ours, "gateway")
    caplog.set_level(logging.ERROR)

    async def said() -> bool:
        # Credentials are asked for at each handshake.
        shown.server_credentials()
        return bool(caplog.messages)

    await eventually(said)
    await said()
    (line,) = caplog.messages
    assert f"the certificate in {ours.certificate('gateway')} expired on" in line
