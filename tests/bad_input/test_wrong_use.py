"""Using `mill` or the API wrongly is one line that says what to do, and status 2."""

import json
import re
import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from modelmill_cli.app import run_app
from modelmill_client import ApiStatusError
from modelmill_testkit.models import make_tiny_llama

from tests.bad_input.mill import StartedMill, mill

pytestmark = pytest.mark.timeout(240)


COMMANDS = [
    ("chat", "hello"),
    ("jobs", "list"),
    ("jobs", "cancel", "x"),
    ("models", "list"),
    ("token",),
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_without_a_running_stack_each_command_says_how_to_start_one(tmp_path, capsys, arguments):
    assert run_app(["--state", str(tmp_path / "state"), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "Start it with `mill up`" in line


@pytest.mark.parametrize(
    ("arguments", "look"),
    [
        (("up", "--bogus"), "`mill up --help`"),
        (("frobnicate",), "`mill --help`"),
        (("tokn",), "`mill --help`"),
        (("chat", "--model"), "`mill --help`"),  # the parser does not say whose option it is
        (("models", "import"), "`mill models import --help`"),
    ],
)
def test_words_that_mean_nothing_are_one_line_and_where_to_look(tmp_path, arguments, look):
    ended = mill(tmp_path / "state", *arguments)
    assert ended.status == 2
    assert re.search(f"(\\.|\\?) {look} lists what there is", ended.line)


def test_who_leaves_an_argument_out_is_told_what_it_takes(capsys):
    assert run_app(["models", "import", "--default"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "Missing argument 'MODEL': A folder" in said
    assert "hf://org/name@revision. `mill models import --help` lists what there is" in said


def test_the_state_folder_stands_before_the_command_and_who_says_it_behind_is_told(
    tmp_path, capsys
):
    assert run_app(["tenants", "list", "--state", str(tmp_path)]) == 2
    assert "Say: mill --state FOLDER tenants list" in capsys.readouterr().err


def test_an_unknown_model_is_named(stack: StartedMill):
    ended = mill(stack.state.path, "chat", "hello", "--model", "nobody")
    assert ended.status == 2
    assert "nobody" in ended.line
    assert ended.line.endswith("`mill models list` lists what there is")


@pytest.mark.parametrize("action", ["watch", "cancel", "pause", "resume"])
def test_an_unknown_job_is_named(stack: StartedMill, capsys, action):
    assert run_app(["--state", str(stack.state.path), "jobs", action, "job-nobody"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no job 'job-nobody'. `mill jobs list` lists what there is" in line


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("rows.pptx", b"PK", ".jsonl"),
        ("rows.xlsx", b"PK", "no Excel workbook"),
        ("rows.parquet", b"PAR1", "no Parquet file"),
        ("rows.jsonl", b"", "empty"),
        ("rows.jsonl", b"\0\0\0", "zero bytes"),
    ],
)
def test_a_file_of_a_wrong_format_is_refused_with_the_right_ones(
    stack: StartedMill, tmp_path, name, content, said
):
    file = tmp_path / name
    file.write_bytes(content)
    with stack.client() as client, pytest.raises(ApiStatusError, match=said) as refused:
        client.files.upload(file)
    assert refused.value.message.count("\n") == 0


def test_a_token_of_another_tenant_says_who_asks_what_runs_here(stack: StartedMill):
    token = mill(stack.state.path, "token", "--tenant", "acme").out.strip()
    asked = mill(stack.state.path, "whoami", "--json", MODELMILL_TOKEN=token)
    assert json.loads(asked.out)["tenant"] == "acme"
    refused = mill(stack.state.path, "whoami", MODELMILL_TOKEN="garbage")
    assert refused.status == 2
    assert "401" in refused.line


def test_a_tenant_that_nobody_created_is_called_so(stack: StartedMill):
    assert mill(stack.state.path, "tenants", "create", "globex").status == 0
    said = mill(stack.state.path, "token", "--tenant", "globxe")
    assert said.status == 0
    assert "no tenant 'globxe' was created. Did you mean 'globex'?" in " ".join(said.err.split())
    assert mill(stack.state.path, "token", "--tenant", "globex").err == ""


def test_a_model_belongs_to_who_asks(stack: StartedMill, tmp_path: Path):
    make_tiny_llama(tmp_path / "model")
    token = mill(stack.state.path, "token", "--tenant", "globex").out.strip()
    asks = {"MODELMILL_TOKEN": token}
    folder = str(tmp_path / "model")
    made = mill(
        stack.state.path, "models", "import", folder, "--default", "--no-build", "--json", **asks
    )
    assert made.status == 0, made.err
    listed = mill(stack.state.path, "models", "list", "--json", **asks).out
    assert '"owned_by": "globex"' in listed or '"owned_by":"globex"' in listed


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("127.0.0.1:8080", "MODELMILL_URL is not an address"),
        ("http://127.0.0.1:1", "the gateway at http://127.0.0.1:1 does not answer"),
    ],
)
def test_an_address_where_no_gateway_is_is_called_so(tmp_path, capsys, monkeypatch, url, said):
    monkeypatch.setenv("MODELMILL_URL", url)
    monkeypatch.setenv("MODELMILL_TOKEN", "x")
    for arguments in (("jobs", "list"), ("chat", "hello")):
        assert run_app(["--state", str(tmp_path), *arguments]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line


class Silence(BaseHTTPRequestHandler):
    """A gateway that nobody should have come to."""


@pytest.mark.parametrize("arguments", [("jobs", "list"), ("chat", "hello")], ids=" ".join)
def test_an_expired_certificate_is_called_so(tmp_path: Path, arguments: tuple[str, ...]):
    certificate, key = expired_certificate(tmp_path)
    server = HTTPServer(("127.0.0.1", 0), Silence)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        ended = mill(
            tmp_path / "state",
            *arguments,
            MODELMILL_URL=f"https://127.0.0.1:{server.server_port}",
            MODELMILL_TOKEN="x",
            SSL_CERT_FILE=str(certificate),
        )
    finally:
        server.shutdown()
        server.server_close()
    assert ended.status == 2
    assert "is not accepted: certificate has expired" in ended.line


def expired_certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now - timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return folder / "certificate.pem", folder / "key.pem"
