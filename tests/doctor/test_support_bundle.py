"""`mill support` takes what helps, and neither secrets nor what people wrote."""

import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from modelmill_cli.app import run_app
from modelmill_cli.doctor.support import support_files

from tests.doctor.planted import healthy, running

PROMPT = "What is a quetzalcoatlus northropi?"


def test_no_secret_and_no_line_of_others_is_in_a_bundle(tmp_path: Path):
    it = healthy(tmp_path)
    seed = (it.state.bus_identities / "trainer.nk").read_text().strip()
    webhook = (it.state.keys / "webhook.key").read_text().strip()
    (it.state.path / "up.log").write_text(
        f"          gateway 2026-12-02T23:00:01.234 INFO served request_id=req-1\n"
        f"          trainer ERROR refused {seed}\n"
        f"Traceback (most recent call last):\n  {PROMPT}\n             nats [1] [INF] ready\n"
    )
    up = running(it)
    up = replace(up, runtime=replace(up.runtime, service_secret="a-secret-of-services"))
    config = f"{it.broker_config}\n# {webhook} a-secret-of-services"
    files = support_files(replace(it, running=up, broker_config=config))
    whole = b"".join(files.values()).decode()
    assert {"findings.jsonl", "machine.json", "installed.json", "metrics.json"} <= files.keys()
    for hidden in (seed, webhook, "a-secret-of-services", PROMPT, "Traceback"):
        assert hidden not in whole
    assert files["up.log"].decode().splitlines() == [
        "          gateway 2026-12-02T23:00:01.234 INFO served request_id=req-1",
        "          trainer ERROR refused [secret]",
        "             nats [1] [INF] ready",
        "2 other lines were left out",
    ]


@pytest.mark.tier("test")
def test_a_bundle_is_its_owners_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "bundle.tar.gz"
    state = str(tmp_path / "state")
    assert run_app(["--state", state, "support", str(file), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert file.stat().st_mode & 0o777 == 0o600
    with tarfile.open(file) as archive:
        assert archive.getnames() == [f"modelmill-support/{name}" for name in said["files"]]
