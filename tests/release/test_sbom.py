"""A bill of materials names each locked package with licence and hashes, and what is not known."""

import json
from base64 import b64encode
from email.message import Message
from pathlib import Path

import pytest
from cyclonedx.model.component import ComponentType
from cyclonedx.model.license import LicenseExpression

from deploy.supply import licences, npm
from deploy.supply.locked import Locked, LockError, locked
from deploy.supply.sbom import (
    ROOT,
    SbomError,
    base_components,
    bom,
    debian_component,
    image_parts,
    make_all,
    python_component,
    write,
)

CONTAINER = ComponentType.CONTAINER
DEBIAN = {"ID": "debian", "VERSION_CODENAME": "bookworm", "VERSION_ID": "12"}
DASH = {"Package": "dash", "Version": "12", "Architecture": "amd64", "licences": ["Expat"]}
LOCK = """\
jinja2==3.1.6 \\
    --hash=sha256:{a} \\
    --hash=sha256:{b}
    # via fastapi
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:{a}
uvloop==0.22.0 ; sys_platform != 'win32' \\
    --hash=sha256:{a}
""".format(a="a" * 64, b="b" * 64)


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The bill of moderation's image, without its base."""
    file = tmp_path_factory.mktemp("sbom") / "moderation.cdx.json"
    write(bom("modelmill/moderation", "0.1.0", CONTAINER, image_parts("moderation", {})), file)
    return json.loads(file.read_text())


def test_a_bill_has_what_the_lock_installs_and_our_packages(document: dict):
    found = {(each["name"], each["version"]) for each in document["components"]}
    lock = locked(ROOT / "services/moderation/requirements.txt")

    assert {(each.name, each.version) for each in lock} <= found
    assert {"modelmill-moderation", "modelmill-guard"} <= {name for name, _ in found}
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")


def test_each_package_has_its_hashes_and_a_licence_or_is_named_for_having_none(document: dict):
    named = {each["value"] for each in document["metadata"].get("properties", [])}
    for each in document["components"]:
        if not each["name"].startswith("modelmill"):
            (source,) = each["externalReferences"]
            assert all(len(it["content"]) == 64 for it in source["hashes"])
            assert source["hashes"]
        assert each.get("licenses") or each["name"] in named


def test_a_bill_says_what_needs_what(document: dict):
    needs = {each["ref"]: each.get("dependsOn", []) for each in document["dependencies"]}
    (grpc,) = (ref for ref in needs if ref.startswith("pkg:pypi/grpcio@"))
    assert any(grpc in those for ref, those in needs.items() if "pkg:pypi/grpcio-" in ref)


def test_the_same_tree_gives_the_same_bytes(tmp_path: Path):
    files = [tmp_path / "one.json", tmp_path / "other.json"]
    for file in files:
        write(bom("modelmill/nats", "0.1.0", CONTAINER, image_parts("nats", {})), file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_lock_is_read_by_the_markers_of_an_image(tmp_path: Path):
    (tmp_path / "lock.txt").write_text(LOCK)

    assert [*locked(tmp_path / "lock.txt")] == [
        Locked("jinja2", "3.1.6", ("a" * 64, "b" * 64)),
        Locked("uvloop", "0.22.0", ("a" * 64,)),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "jinja2>=3.1.6",
        "jinja2==3.1.6,<4",
        "jinja2==3.1.6;python_version<'4'",
        "jinja2[i18n]==3.1.6",
        "jinja2 @ https://example.com/jinja2.whl",
        "-r other.txt",
        "--index-url https://example.com",
    ],
)
def test_a_line_of_a_lock_that_cannot_be_read_is_refused(tmp_path: Path, line: str):
    (tmp_path / "lock.txt").write_text(f"# made by somebody\n\nidna==3.10\n{line}\n")

    with pytest.raises(LockError, match=r"which is no package with its version\. Run make"):
        [*locked(tmp_path / "lock.txt")]


NPM = {
    "": {"name": "console"},
    "node_modules/@preact/signals": {"version": "2.1.0", "license": "MIT"},
    "node_modules/uplot": {"version": "1.6.32", "license": "MIT"},
    "node_modules/a/node_modules/uplot": {"version": "1.0.0"},
    "node_modules/vite": {"version": "8.0.0", "license": "MIT", "dev": True},
}


def npm_lock(folder: Path, **changed: object) -> Path:
    digest = f"sha512-{b64encode(bytes(64)).decode()}"
    packages = {place: {"integrity": digest, **each, **changed} for place, each in NPM.items()}
    (folder / "package-lock.json").write_text(json.dumps({"packages": packages}))
    return folder / "package-lock.json"


def test_a_bill_has_the_packages_of_which_the_console_is_made_and_not_those_that_build_it(
    tmp_path: Path,
):
    parts = [*npm.bundled(npm_lock(tmp_path))]
    write(bom("modelmill/gateway", "0.1.0", CONTAINER, parts), tmp_path / "sbom.json")

    document = json.loads((tmp_path / "sbom.json").read_text())
    assert [each["purl"] for each in document["components"]] == [
        "pkg:npm/%40preact/signals@2.1.0",
        "pkg:npm/uplot@1.0.0",
        "pkg:npm/uplot@1.6.32",
    ]
    (source,) = document["components"][0]["externalReferences"]
    assert source["hashes"] == [{"alg": "SHA-512", "content": "0" * 128}]


@pytest.mark.parametrize("integrity", ["", "sha1-xMJd"])
def test_an_npm_package_without_its_hash_is_refused(tmp_path: Path, integrity: str):
    with pytest.raises(LockError, match=r"no version or SHA-512 of @preact/signals\. Run npm"):
        [*npm.bundled(npm_lock(tmp_path, integrity=integrity))]


@pytest.mark.parametrize(("image", "has"), [("gateway", True), ("moderation", False)])
def test_the_gateway_alone_brings_the_console(image: str, has: bool):
    found = {str(it.purl).partition("@")[0] for it in image_parts(image, {})}
    assert ("pkg:npm/preact" in found) is has


@pytest.mark.parametrize(
    ("system", "purl"),
    [
        (DEBIAN, "pkg:deb/debian/dash@12?arch=amd64&distro=bookworm"),
        (
            DEBIAN | {"VERSION_CODENAME": "trixie"},
            "pkg:deb/debian/dash@12?arch=amd64&distro=trixie",
        ),
        ({"ID": "ubuntu", "VERSION_ID": "24.04"}, "pkg:deb/ubuntu/dash@12?arch=amd64&distro=24.04"),
    ],
)
def test_packages_of_a_base_are_those_of_the_system_that_it_says_it_is(system: dict, purl: str):
    assert str(debian_component(DASH, system).purl) == purl


def test_an_interpreter_that_no_package_brought_is_part_of_the_bill(tmp_path: Path):
    told = {"packages": [DASH], "system": DEBIAN, "python": "3.11.14"}
    write(bom("modelmill/nats", "0.1.0", CONTAINER, base_components(told)), tmp_path / "sbom.json")

    components = json.loads((tmp_path / "sbom.json").read_text())["components"]
    (python,) = (each for each in components if each["name"] == "python")
    assert (python["purl"], python["type"]) == ("pkg:generic/python@3.11.14", "application")
    assert python["licenses"] == [{"license": {"id": "Python-2.0.1"}}]
    assert [it.name for it in base_components(told | {"python": None})] == ["dash"]


def test_images_without_cuda_get_no_bill_of_the_lock_that_has_it(tmp_path: Path):
    with pytest.raises(SbomError, match=r"have PyTorch without CUDA.* Give the tag local"):
        [*make_all("local-cpu", tmp_path / "sbom", "0.1.0")]
    assert not (tmp_path / "sbom").exists()


def test_another_version_than_the_locked_one_is_refused():
    with pytest.raises(SbomError, match=r"jinja2 is .* here and 0.0.1 in the lock. Run make"):
        python_component(Locked("jinja2", "0.0.1", ()))


def metadata_of(**fields: str | list[str]) -> Message:
    message = Message()
    for name, value in fields.items():
        for each in value if isinstance(value, list) else [value]:
            message[name.replace("_", "-")] = each
    return message


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"License_Expression": "MIT"}, ["MIT"]),
        ({"License_Expression": "Apache-2.0 OR MIT"}, ["Apache-2.0 OR MIT"]),
        ({"License": "Apache License, Version 2.0"}, ["Apache-2.0"]),
        ({"License": "MIT License\n\nCopyright (c) Somebody"}, ["MIT"]),
        ({"Classifier": ["License :: OSI Approved :: ISC License (ISCL)"]}, ["ISC"]),
        (
            {
                "License": "BSD-3-Clause",
                "Classifier": ["License :: OSI Approved :: BSD License"],
            },
            ["BSD-3-Clause"],
        ),
    ],
)
def test_licences_go_by_the_names_of_spdx(metadata: dict, expected: list[str]):
    found = licences.of_python(metadata_of(**metadata))

    assert [it.value if isinstance(it, LicenseExpression) else it.id for it in found] == expected
    assert licences.has_spdx(found)


@pytest.mark.parametrize(
    ("metadata", "names"),
    [
        ({"Classifier": ["License :: OSI Approved :: BSD License"]}, ["BSD License"]),
        ({"License": "NVIDIA Proprietary Software"}, ["NVIDIA Proprietary Software"]),
        ({}, []),
        ({"License": "x" * 200}, []),
    ],
)
def test_what_spdx_does_not_know_keeps_its_name_and_is_not_called_known(
    metadata: dict, names: list[str]
):
    found = licences.of_python(metadata_of(**metadata))

    assert [it.name for it in found] == names
    assert not licences.has_spdx(found)


def test_packages_without_a_known_licence_are_listed_by_name(tmp_path: Path):
    parts = [
        debian_component(DASH | {"Package": "base-files", "licences": []}, DEBIAN),
        debian_component(DASH | {"licences": ["Expat", "GPL-2+", "odd"]}, DEBIAN),
    ]
    write(bom("modelmill/nats", "0.1.0", CONTAINER, parts), tmp_path / "sbom.json")

    document = json.loads((tmp_path / "sbom.json").read_text())
    said = {(it["name"], it["value"]) for it in document["metadata"]["properties"]}
    assert said == {
        ("modelmill:licence-unknown", "base-files"),
        ("modelmill:licence-not-spdx", "dash"),
    }
    dash = document["components"][1]
    assert dash["purl"].startswith("pkg:deb/debian/dash@12?arch=amd64")
    assert {tuple(it["license"].items()) for it in dash["licenses"]} == {
        (("id", "MIT"),),
        (("id", "GPL-2.0-or-later"),),
        (("name", "odd"),),
    }
