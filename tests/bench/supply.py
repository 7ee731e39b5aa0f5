"""operators.supply.*, operators.image.*: what releases are made of, and whether that can be shown.

    python -m tests.bench.supply [--only GROUP ...] [--keep]

No figure is a time, so the machine may be busy. `operators.supply.wheels`: wheels of two runs of
`make dist` that are the same bytes. `operators.supply.sbom`: bills of materials that CycloneDX's
schema takes, and `operators.supply.licences`: their packages with a licence that SPDX knows.
`operators.supply.audit`: sources of advisories that must give no verdict and give none.
`operators.supply.verify`: planted forgeries that `mill verify` refuses by name.
`operators.image.*`: megabytes of images without CUDA beside those with it, as Docker here has them,
and whether the former import torch.
`--keep` writes deploy/bench/operators.json, as `tests.bench.doctor` does.
"""

import json
import shutil
import socket
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from modelmill_cli.provenance.envelope import BUNDLE
from modelmill_cli.provenance.key import ProvenanceKey, read_public_key
from modelmill_cli.provenance.statements import IMAGE
from modelmill_cli.provenance.verify import verify

from deploy.supply.provenance import RELEASE, sign_release
from tests.bench.figures import Entry, all_of
from tests.bench.kept_entries import run_groups

RESULT = Path("deploy/bench/operators.json")
DIST = Path("dist")
BILL = "sbom/gateway.cdx.json"
IMAGES = ("trainer", "optimizer-builder")
MB = 10**6


def wheel_entries() -> list[Entry]:
    """Wheels of two builds."""
    one, other = _built(), _built()
    same = [name for name, digest in one.items() if other.get(name) == digest]
    rest = [name for name in one.keys() | other.keys() if name not in same]
    note = f"make dist twice; differing: {', '.join(sorted(rest)) or 'none'}"
    whole = len(one.keys() | other.keys())
    return [all_of("operators.supply.wheels", len(same), whole, "wheels", least=20, note=note)]


def _built() -> dict[str, str]:
    subprocess.run(["make", "dist"], check=True, stdout=subprocess.DEVNULL)
    return {file.name: sha256(file.read_bytes()).hexdigest() for file in DIST.glob("*.whl")}


def sbom_entries() -> list[Entry]:
    """Bills of materials, and licences in them."""
    with TemporaryDirectory(prefix="sbom-") as place:
        command = [sys.executable, "-m", "deploy.supply.sbom", "--folder", place]
        # It refuses what the schema refuses.
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        bills = {it.name: json.loads(it.read_text()) for it in Path(place).glob("*.cdx.json")}
    found = {each["purl"]: each for bill in bills.values() for each in bill["components"]}
    unknown = {
        kind: sorted({it["value"] for bill in bills.values() for it in _said_of(bill, kind)})
        for kind in ("licence-unknown", "licence-not-spdx")
    }
    named = len(found) - sum(not each.get("licenses") for each in found.values())
    spdx = sum(map(_is_spdx, found.values()))
    return [
        all_of(
            *("operators.supply.sbom", len(bills), 9, "bills"),
            least=9,
            note="; ".join(line.split(";")[0] for line in said.splitlines()),
        ),
        Entry(
            *("operators.supply.licences", spdx, "packages", "all packages", spdx / len(found)),
            *("those that are not are named", None, (spdx / len(found),) * 2),
            f"{len(found)} packages, {named} with a licence; none known: "
            f"{', '.join(unknown['licence-unknown']) or 'none'}; not of SPDX: "
            f"{len(unknown['licence-not-spdx'])}",
        ),
    ]


def _said_of(bill: Mapping, kind: str) -> Iterator[Mapping]:
    for each in bill["metadata"].get("properties", ()):
        if each["name"] == f"modelmill:{kind}":
            yield each


def _is_spdx(component: Mapping) -> bool:
    licences = component.get("licenses", ())
    return bool(licences) and all(
        "expression" in it or "id" in it.get("license", {}) for it in licences
    )


OTHER = {
    "id": "PYSEC-0",
    "affected": [{"package": {"name": "nobody", "ecosystem": "PyPI"}, "versions": ["1"]}],
}


def audit_entries() -> list[Entry]:
    """Sources that are none."""
    with TemporaryDirectory(prefix="audit-") as place, socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        empty, broken, other = (Path(place, name) for name in ("empty", "broken", "other"))
        for folder in (empty, broken, other):
            folder.mkdir()
        (broken / "a.json").write_text("{")
        (other / "a.json").write_text(
            json.dumps(OTHER | {"modified": f"{datetime.now(UTC):%FT%TZ}"})
        )
        sources = {
            "nobody listens": ["--osv-url", f"http://127.0.0.1:{unused.getsockname()[1]}/v1/query"],
            "OSV, without network": ["--osv-url", "https://osv.invalid/v1/query"],
            "one that knows other packages alone": ["--advisories", str(other)],
            "an empty folder": ["--advisories", str(empty)],
            "a folder that is not there": ["--advisories", str(empty / "none")],
            "a broken folder": ["--advisories", str(broken)],
        }
        status = {name: _audited(arguments) for name, arguments in sources.items()}
    refused = [name for name, code in status.items() if code == 2]
    note = "; ".join(f"{name}: status {code}" for name, code in status.items())
    return [
        all_of("operators.supply.audit", len(refused), len(status), "sources", least=6, note=note)
    ]


def _audited(arguments: Sequence[str]) -> int:
    command = [sys.executable, "-m", "deploy.supply.audit", *arguments]
    return subprocess.run(command, capture_output=True).returncode


def verify_entries() -> list[Entry]:
    """Forgeries of a signed folder."""
    caught = {}
    with TemporaryDirectory(prefix="verify-") as text:
        place = Path(text)
        for keys in ("keys", "others"):
            ProvenanceKey(place / keys).create()
        for name, (forge, check) in FORGERIES.items():
            folder = place / "dist"
            shutil.rmtree(folder, ignore_errors=True)
            _fill(folder)
            sign_release(place / "keys", folder)
            forge(folder, place)
            verdict = verify(folder, read_public_key(place / "keys" / "provenance.pub"))
            caught[name] = {each.check for each in verdict.refusals} == {check}
    note = ", ".join(name if is_so else f"NOT {name}" for name, is_so in caught.items())
    right, whole = sum(caught.values()), len(caught)
    return [all_of("operators.supply.verify", right, whole, "forgeries", least=11, note=note)]


def _fill(folder: Path) -> None:
    (folder / "sbom").mkdir(parents=True)
    for name in ("a.whl", "constraints.txt", BILL):
        (folder / name).write_text(name)
    zeros = f"sha256:{'0' * 64}"
    images = {"modelmill/gateway:0": zeros}
    record = {"version": "0", "commit": "c" * 40, "images": images, "base_image": zeros}
    (folder / RELEASE).write_text(json.dumps(record))


def _other_key(folder: Path, place: Path) -> None:
    (folder / BUNDLE).unlink()
    sign_release(place / "others", folder)


def _altered(folder: Path, _: Path) -> None:
    file = folder / BUNDLE
    envelope = json.loads(file.read_text().splitlines()[0])
    file.write_text(json.dumps(envelope | {"payload": f"{envelope['payload'][:-8]}AAAAAAAA"}))


def _without_images(folder: Path, _: Path) -> None:
    """Leaves the statements of files alone, where those of images are others."""
    lines = (folder / BUNDLE).read_text().splitlines(keepends=True)
    (folder / BUNDLE).write_text("".join(lines[:-1]))


def _images_cut(folder: Path, _: Path) -> None:
    """Takes the images out of what was signed."""
    file = folder / BUNDLE
    *others, last = file.read_text().splitlines()
    envelope = json.loads(last)
    statement = json.loads(b64decode(envelope["payload"]))
    statement["subject"] = [it for it in statement["subject"] if it.get("mediaType") != IMAGE]
    payload = b64encode(json.dumps(statement).encode()).decode()
    file.write_text("\n".join([*others, json.dumps(envelope | {"payload": payload})]))


def _linked(folder: Path, place: Path) -> None:
    (folder / "a.whl").rename(place / "a.whl")
    (folder / "a.whl").symlink_to(place / "a.whl")


FORGERIES: Mapping[str, tuple[Callable[[Path, Path], object], str]] = {
    "changed file": (lambda folder, _: (folder / "a.whl").write_text("b"), "changed"),
    "changed bill": (lambda folder, _: (folder / BILL).write_text(""), "changed"),
    "missing file": (lambda folder, _: (folder / "a.whl").unlink(), "missing"),
    "added file": (lambda folder, _: (folder / "b.whl").write_text("b"), "added"),
    "link": (_linked, "link"),
    "no provenance": (lambda folder, _: (folder / BUNDLE).unlink(), "missing"),
    "garbage": (lambda folder, _: (folder / BUNDLE).write_bytes(b"\x00{"), "statement"),
    "altered statement": (_altered, "statement"),
    "another key": (_other_key, "key"),
    "statement of images left out": (_without_images, "statement"),
    "images cut out of the statement": (_images_cut, "statement"),
}
"""What is done to a folder, and the check that must refuse it."""


def image_entries() -> list[Entry]:
    """Megabytes of images without CUDA beside those with it."""
    return [_image_entry(name) for name in IMAGES]


def _image_entry(name: str) -> Entry:
    cpu, cuda = (_size(f"modelmill/{name}:local{variant}") for variant in ("-cpu", ""))
    runs = _imports_torch(f"modelmill/{name}:local-cpu")
    said = (
        "it imports torch" if runs else "it DOES NOT import torch: its wheels are not for this base"
    )
    note = f"{cpu:,.0f} MB without CUDA, {cuda:,.0f} MB with it; {said}"
    return Entry(
        *(f"operators.image.{name}", cpu, "MB", "the variant cuda", cpu / cuda),
        *("< 0.5, and runs", runs and cpu / cuda < 0.5, (cpu / cuda,) * 2, note),
    )


def _imports_torch(image: str) -> bool:
    command = ["docker", "run", "--rm", "--network", "none", image, "python", "-c", "import torch"]
    return subprocess.run(command, capture_output=True).returncode == 0


def _size(image: str) -> float:
    command = ["docker", "image", "inspect", "--format", "{{.Size}}", image]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / MB


GROUPS: Mapping[str, Callable[[], Sequence[Entry]]] = {
    "wheels": wheel_entries,
    "sbom": sbom_entries,
    "audit": audit_entries,
    "verify": verify_entries,
    "images": image_entries,
}


if __name__ == "__main__":
    sys.exit(run_groups("tests.bench.supply", GROUPS, RESULT))
