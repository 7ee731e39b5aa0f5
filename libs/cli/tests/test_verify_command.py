"""`mill verify`: what a maker signed is accepted, and everything else is refused by name."""

import base64
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_support.gateways import ModelsGateway, told_of
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage
from modelmill_cli.app import run_app
from modelmill_cli.provenance.envelope import BUNDLE
from modelmill_cli.state_folder import Runtime, StateFolder
from modelmill_registry.store import FolderStore
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner

HOSTILE = b"\x00\xff{"


def committed(store: FolderStore, place: Path, kind: str, form: str, **made: Any) -> str:
    place.mkdir()
    (place / "part").mkdir()
    (place / "part" / "weights.json").write_text(f'"{place.name}"')
    (place / "config.json").write_text("{}")
    return store.commit(place, kind=kind, form=form, **made).digest


@pytest.fixture
def digests(tmp_path: Path) -> dict[str, str]:
    """Of a model and of what it was made from, in the store of the instance."""
    store = FolderStore(tmp_path / "artifacts")
    origin = {"source": "hf://acme/base", "revision": "c0ffee", "licence": "apache-2.0"}
    base = committed(store, tmp_path / "base", "model", "safetensors", attributes=origin)
    dataset = committed(store, tmp_path / "dataset", "dataset", "jsonl")
    tuned = committed(
        store,
        tmp_path / "tuned",
        *("model", "safetensors"),
        made_from={"base": base, "dataset": dataset},
        attributes={"hyper_parameters": {"epochs": 2}},
    )
    build = committed(
        store, tmp_path / "build", "model", "openvino-int8", made_from={"source": tuned}
    )
    return {"base": base, "dataset": dataset, "tuned": tuned, "build": build}


@pytest.fixture
def state(
    digests: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A state folder on which an instance runs: this process."""
    folder = StateFolder(tmp_path / "state")
    runtime = Runtime(
        *(os.getpid(), "http://127.0.0.1:1", "nats://127.0.0.1:2", "t", "s"),
        *(str(tmp_path / "artifacts"), {}, {}, {}),
    )
    with folder.locked(), told_of(ModelsGateway(), monkeypatch) as server:
        folder.write_runtime(runtime)
        server.models = {
            "mv-build": {
                **{"id": "mv-build", "name": "kinds", "form": "openvino-int8"},
                **{"digest": digests["build"], "job_id": "job-9", "dataset_id": "ds-1"},
            }
        }
        yield folder.path


@pytest.fixture
def key(state: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The public half of the instance's key."""
    assert run_app(["--state", str(state), "keys", "provenance"]) == 0
    capsys.readouterr()
    return state / "keys" / "provenance.pub"


@pytest.fixture
def export(key: Path, state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A signed export."""
    target = tmp_path / "out"
    arguments = ["--state", str(state), "models", "export", "mv-build", str(target), "--json"]
    assert run_app(arguments) == 0
    assert json.loads(capsys.readouterr().out)["signed_by"]
    return target


def other_key(place: Path) -> Path:
    assert run_app(["keys", "provenance", str(place)]) == 0
    return place / "provenance.pub"


def envelope_of(export: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((export / BUNDLE).read_text())
    return document


def statement_of(export: Path) -> dict[str, Any]:
    statement: dict[str, Any] = json.loads(base64.b64decode(envelope_of(export)["payload"]))
    return statement


def test_an_export_verifies_by_the_public_key_and_says_where_it_comes_from(
    export: Path, key: Path, digests: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["verify", str(export), "--key", str(key)]) == 0

    shown = capsys.readouterr().out
    assert "2, all as signed" in shown
    for expected in ("kinds", "openvino-int8", "job-9", "hf://acme/base"):
        assert expected in shown
    for role in ("base", "dataset"):
        assert digests[role] in shown


def test_one_file_of_an_export_verifies_alone(
    export: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["verify", str(export / "config.json"), "--key", str(key), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == 1

    (export / "config.json").write_text('{"auto_map": {}}')
    assert run_app(["verify", str(export / "config.json"), "--key", str(key)]) == 1
    assert "config.json: is not the file that was signed" in capsys.readouterr().err


def test_a_file_in_a_folder_of_an_export_is_held_to_its_place_there(
    export: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = export / "part" / "weights.json"
    assert run_app(["verify", str(part), "--key", str(key), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == 1

    # As good as the signed one, and not where that was signed.
    (export / "weights.json").write_bytes(part.read_bytes())
    assert run_app(["verify", str(export / "weights.json"), "--key", str(key)]) == 1
    assert "weights.json: is not among what was signed" in capsys.readouterr().err
    part.write_text('"evil"')
    assert run_app(["verify", str(part), "--key", str(key)]) == 1
    assert "part/weights.json: is not the file that was signed" in capsys.readouterr().err


def test_the_nearest_provenance_above_a_file_decides(
    export: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = export / "part"
    (part / BUNDLE).write_bytes((export / BUNDLE).read_bytes())

    assert run_app(["verify", str(part / "weights.json"), "--key", str(key)]) == 1
    assert "weights.json: is not among what was signed" in capsys.readouterr().err
    (part / BUNDLE).unlink()
    (part / BUNDLE).symlink_to(export / BUNDLE)
    assert run_app(["verify", str(part / "weights.json"), "--key", str(key)]) == 1
    assert "has no provenance" in capsys.readouterr().err


def test_a_file_is_looked_for_where_it_lies_and_not_where_a_link_leads_from(
    export: Path, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "way").symlink_to(export / "part")
    assert run_app(["verify", str(tmp_path / "way" / "weights.json"), "--key", str(key)]) == 0

    (export / "part").rename(tmp_path / "elsewhere")
    (export / "part").symlink_to(tmp_path / "elsewhere")
    assert run_app(["verify", str(export / "part" / "weights.json"), "--key", str(key)]) == 1
    assert "has no provenance" in capsys.readouterr().err


def test_a_link_to_a_signed_file_is_refused_alone_as_in_its_folder(
    export: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replaced_by_link(export)

    assert run_app(["verify", str(export / "config.json"), "--key", str(key)]) == 1
    assert "config.json: is a link or device, no plain file" in capsys.readouterr().err


@pytest.mark.parametrize("target", [".", "config.json"])
def test_an_export_has_no_images_to_be_verified(
    export: Path, key: Path, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["verify", str(export / target), "--key", str(key), "--images"]) == 1
    assert "is signed without any image. Fetch all of the release" in capsys.readouterr().err


def test_a_lineage_that_is_not_all_there_is_signed_and_shown_as_partial(
    key: Path,
    state: Path,
    digests: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    FolderStore(tmp_path / "artifacts").erase([digests["base"]])
    target = tmp_path / "out"
    assert run_app(["--state", str(state), "models", "export", "mv-build", str(target)]) == 0

    built = statement_of(target)["predicate"]["buildDefinition"]
    assert built["internalParameters"] == {"lineage": "partial"}
    assert [each["name"] for each in built["resolvedDependencies"]] == ["source"]
    capsys.readouterr()
    assert run_app(["verify", str(target), "--key", str(key)]) == 0
    assert ["lineage", "partial"] in [line.split() for line in capsys.readouterr().out.splitlines()]


def test_a_lineage_that_is_all_there_is_not_called_partial(export: Path) -> None:
    assert "internalParameters" not in statement_of(export)["predicate"]["buildDefinition"]


def test_the_statement_names_files_lineage_choices_job_and_code(
    export: Path, digests: dict[str, str]
) -> None:
    statement = statement_of(export)

    assert [each["name"] for each in statement["subject"]] == ["config.json", "part/weights.json"]
    built = statement["predicate"]["buildDefinition"]
    found = {each["name"]: each for each in built["resolvedDependencies"]}
    hashes = {f"sha256:{found[role]['digest']['sha256']}" for role in ("source", "base", "dataset")}
    assert hashes == {digests["tuned"], digests["base"], digests["dataset"]}
    assert found["origin"]["annotations"]["revision"] == "c0ffee"
    assert built["externalParameters"]["dataset_id"] == "ds-1"
    run = statement["predicate"]["runDetails"]
    assert run["metadata"]["invocationId"] == "job-9"
    assert run["builder"]["version"]["modelmill"]
    assert f"sha256:{run['byproducts'][0]['digest']['sha256']}" == digests["build"]


def test_the_statement_is_the_message_that_in_toto_and_slsa_publish(export: Path) -> None:
    statement = statement_of(export)

    message = json_format.ParseDict(
        {("type" if key == "_type" else key): value for key, value in statement.items()},
        StatementMessage(),
    )
    Statement.copy_from_pb(message).validate()
    predicate = json_format.ParseDict(statement["predicate"], Provenance())
    assert predicate.build_definition.build_type
    assert predicate.run_details.builder.id


def test_the_signature_is_that_of_dsse_by_any_implementation(export: Path, key: Path) -> None:
    envelope = envelope_of(export)
    payload = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"].encode()
    public = load_pem_public_key(key.read_bytes())
    assert isinstance(public, Ed25519PublicKey)

    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    public.verify(base64.b64decode(envelope["signatures"][0]["sig"]), signed)


def changed(export: Path) -> None:
    (export / "part" / "weights.json").write_text('"evil"')


def missing(export: Path) -> None:
    (export / "config.json").unlink()


def added(export: Path) -> None:
    (export / "part" / "modeling.py").write_text("import os")


def linked(export: Path) -> None:
    (export / "more").symlink_to("/")


def replaced_by_link(export: Path) -> None:
    same = export.parent / "same"
    (export / "config.json").rename(same)
    (export / "config.json").symlink_to(same)


def without_provenance(export: Path) -> None:
    (export / BUNDLE).unlink()


def linked_provenance(export: Path) -> None:
    (export / BUNDLE).rename(export.parent / BUNDLE)
    (export / BUNDLE).symlink_to(export.parent / BUNDLE)


def altered_statement(export: Path) -> None:
    (export / "config.json").write_text('{"a": 1}')
    envelope, statement = envelope_of(export), statement_of(export)
    digest = hashlib.sha256(b'{"a": 1}').hexdigest()
    statement["subject"][0]["digest"]["sha256"] = digest
    payload = base64.b64encode(json.dumps(statement).encode()).decode()
    (export / BUNDLE).write_text(json.dumps(envelope | {"payload": payload}))


def unsigned(export: Path) -> None:
    (export / BUNDLE).write_text(json.dumps(envelope_of(export) | {"signatures": []}))


def empty(export: Path) -> None:
    (export / BUNDLE).write_text("")


def garbage(export: Path) -> None:
    (export / BUNDLE).write_bytes(HOSTILE)


def deep(export: Path) -> None:
    (export / BUNDLE).write_text("[" * 100_000)


def lists_for_texts(export: Path) -> None:
    envelope = envelope_of(export)
    (export / BUNDLE).write_text(json.dumps(envelope | {"signatures": [{"keyid": [], "sig": []}]}))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (changed, "part/weights.json: is not the file that was signed. Fetch it again"),
        (missing, "config.json: was signed and is not here. Fetch it again"),
        (added, "part/modeling.py: is not among what was signed. Remove it"),
        (linked, "more: is a link or device, no plain file. Remove it"),
        (replaced_by_link, "config.json: is a link or device, no plain file. Remove it"),
        (without_provenance, "has no provenance: there is no provenance.intoto.jsonl"),
        (linked_provenance, "has no provenance: there is no provenance.intoto.jsonl"),
        (altered_statement, "was altered after the key"),
        (unsigned, "is signed by nobody, not by the key"),
        (empty, "is empty, over 32 MiB"),
        (garbage, "holds no signed statements"),
        (deep, "holds no signed statements"),
        (lists_for_texts, "provenance.intoto.jsonl: "),
    ],
)
def test_what_is_not_as_signed_is_refused_by_name_with_a_remedy(
    export: Path,
    key: Path,
    spoil: Callable[[Path], None],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil(export)

    assert run_app(["verify", str(export), "--key", str(key)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert run_app(["verify", str(export), "--key", str(key), "--json"]) == 1
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["verified"] is False
    assert all(each["problem"] and each["remedy"] for each in verdict["refusals"])


def test_every_file_that_is_wrong_is_named(
    export: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for spoil in (changed, missing, added):
        spoil(export)

    assert run_app(["verify", str(export), "--key", str(key), "--json"]) == 1
    refusals = json.loads(capsys.readouterr().out)["refusals"]
    assert {each["check"] for each in refusals} == {"changed", "missing", "added"}


def test_what_another_key_signed_is_refused_with_both_ids(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = other_key(tmp_path / "other")
    capsys.readouterr()

    assert run_app(["verify", str(export), "--key", str(other)]) == 1
    said = capsys.readouterr().err
    assert "not by the key" in said
    assert envelope_of(export)["signatures"][0]["keyid"][:16] in said
    assert "from them and not from where it lies" in said


def test_a_signed_document_that_is_no_provenance_is_refused(
    export: Path, key: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from modelmill_cli.provenance.key import ProvenanceKey

    signer = ProvenanceKey(state / "keys").signer()
    assert isinstance(signer, CryptoSigner)
    envelope = Envelope(b'{"_type": "link", "predicateType": ""}', "text/plain", {})
    envelope.sign(signer)
    (export / BUNDLE).write_text(json.dumps(envelope.to_dict()))

    assert run_app(["verify", str(export), "--key", str(key)]) == 1
    assert "signed that is no provenance" in capsys.readouterr().err


@pytest.mark.parametrize("content", [HOSTILE, b"", b"-----BEGIN PUBLIC KEY-----\n"])
def test_a_key_that_is_none_is_refused_before_anything_is_read(
    export: Path, tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "no.pub").write_bytes(content)

    assert run_app(["verify", str(export), "--key", str(tmp_path / "no.pub")]) == 2
    assert "holds no public Ed25519 key in PEM. Give the file" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_said(
    key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["verify", str(tmp_path / "nothing"), "--key", str(key)]) == 2
    assert "there is no" in capsys.readouterr().err


def test_the_private_key_is_its_owners_alone_and_never_replaced(
    key: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    private = state / "keys" / "provenance-key.pem"
    before = private.read_bytes()

    assert private.stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE" not in key.read_bytes()
    assert run_app(["--state", str(state), "keys", "provenance"]) == 2
    assert "is there already, and others verify by its public half" in capsys.readouterr().err
    assert private.read_bytes() == before


def test_without_a_key_an_export_says_that_it_is_not_signed(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out"
    assert run_app(["--state", str(state), "models", "export", "mv-build", str(target)]) == 0

    assert "not signed: `mill keys provenance` makes a key" in capsys.readouterr().err
    assert not (target / BUNDLE).exists()


def test_the_same_export_is_signed_the_same(
    export: Path, state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "again"
    assert run_app(["--state", str(state), "models", "export", "mv-build", str(again)]) == 0
    assert (again / BUNDLE).read_bytes() == (export / BUNDLE).read_bytes()
