"""The Secrets that are printed hold every key that a rendering mounts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helm.objects import pods
from tests.helm.rendering import ROOT, merged, profile, render
from tests.helm.schemas import schema_errors

SCRIPT = ROOT / "deploy" / "helm" / "secrets"
SERVICES = ("gateway", "moderation", "data-prep", "trainer", "optimizer-builder", "inference")
TLS_KEYS = {"ca.crt", "tls.crt", "tls.key"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as deploy/compose/make-secrets leaves it."""
    names = [f"secrets/{one}" for one in ("service-secret", "otlp-token", "webhook-key")]
    names += ["secrets/triton-token", "keys/jwks.json", "bus/users.conf"]
    names += [f"bus/{one}.nk" for one in (*SERVICES, "cli", "deploy", "observer")]
    for one in (*SERVICES, "nats"):
        names += [f"tls/{one}/{file}" for file in ("ca.pem", f"{one}.pem", f"{one}-key.pem")]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def printed(folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, SCRIPT, folder, "mill"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_key_that_is_mounted_is_in_a_printed_secret(folder: Path) -> None:
    made = json.loads(printed(folder).stdout)["items"]
    names = {"shared": "mill-shared", "bus": "mill-bus", "tlsPrefix": "mill-"}
    values = merged(profile("gpu"), {"secrets": names, "tls": {"mode": "secrets"}})

    keys = {each["metadata"]["name"]: set(each["data"]) for each in made}
    mounted: set[tuple[str, str]] = set()
    for pod in pods(render(values)):
        for volume in pod.spec["volumes"]:
            sources = [*volume.get("projected", {}).get("sources", ()), volume]
            for secret in (source["secret"] for source in sources if "secret" in source):
                wanted = [item["key"] for item in secret.get("items", ())] or TLS_KEYS
                mounted |= {(secret.get("secretName", secret.get("name")), key) for key in wanted}

    assert mounted
    assert {(name, key) for name, key in mounted if key not in keys.get(name, ())} == set()
    assert [error for each in made for error in schema_errors(each)] == []


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "bus" / "users.conf").unlink()

    done = printed(folder)

    assert done.returncode == 2
    assert "users.conf" in done.stderr
    assert "Run deploy/compose/make-secrets first" in done.stderr
    assert done.stdout == ""
