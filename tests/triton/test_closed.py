"""Access to the server: TLS, and the health check of its container."""

import subprocess
import sys
from pathlib import Path

import pytest
from modelmill_inference.adapters.triton import TritonAddress, TritonKind
from modelmill_service_kit.errors import UnavailableError

from tests.triton.asking import OPTIONS, tokens_of
from tests.triton.running import ROOT, TOKEN, RunningTriton, running_triton

PROBE = ROOT / "deploy" / "images" / "probe.py"


async def test_over_tls_an_engine_answers_whoever_checks_the_right_certificate(
    build: Path, end_tokens: frozenset[int], tmp_path: Path
) -> None:
    certificate, key = make_certificate(tmp_path)
    tls = {"TRITON_TLS_CERTIFICATE": str(certificate), "TRITON_TLS_KEY": str(key)}
    with running_triton(tmp_path / "log", **tls) as triton:
        kind = TritonKind(TritonAddress(triton.url, TOKEN, certificate), OPTIONS)
        engine = kind.engine_for(build, end_tokens)
        await engine.load()
        assert await tokens_of(engine)
        await engine.close()

        other, _ = make_certificate(tmp_path / "other")
        for roots in (None, other):
            stranger = TritonKind(TritonAddress(triton.url, TOKEN, roots, 1.0), OPTIONS)
            engine = stranger.engine_for(build, end_tokens)
            with pytest.raises(UnavailableError):
                await engine.load()
            await engine.close()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    folder.mkdir(exist_ok=True)
    certificate, key = folder / "server.pem", folder / "server-key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "1", "-subj", "/CN=triton", "-addext"),
            *("subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def test_the_containers_health_check_says_when_it_answers(triton: RunningTriton) -> None:
    def probe(port: int) -> int:
        command = [sys.executable, "-I", "-S", PROBE, f"grpc:{port}"]
        return subprocess.run(command, check=False, capture_output=True).returncode

    assert probe(triton.port) == 0
    triton.kill()
    try:
        assert probe(triton.port) != 0
    finally:
        triton.start()
