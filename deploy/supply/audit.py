"""Known vulnerabilities of what is locked; without a source that answers there is no verdict.

    python -m deploy.supply.audit [--source osv|pypi | --advisories FOLDER] [FILE ...]

pip-audit asks. Before its answer counts, the same source must know an old vulnerability: an index
without an interface for advisories says of everything that it has none. Exit status: 0 nothing is
known; 1 something is; 2 it could not be found out.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from packaging.version import Version

from deploy.supply.advisories import AdvisoryError, serve
from deploy.supply.locked import LockError, locked

ROOT = Path(__file__).resolve().parents[2]
PROBE = "jinja2==2.4.1"
"""Templates leave its sandbox (CVE-2016-10745): every source has known for years."""
LIMIT_SECONDS = 900
REMEDY = (
    "Give it a network, another source (--source pypi), or a folder of advisories in OSV's form:"
    " --advisories FOLDER. Until then nothing is known of these packages"
)


class AuditError(Exception):
    """Nothing can be said; the message says what to do."""


def audit(files: Sequence[Path], source: Sequence[str], accepted: Sequence[str] = ()) -> list[str]:
    """A line for each known vulnerability.

    Args:
        source: Arguments of pip-audit that say whom to ask.
        accepted: Ids of vulnerabilities that are left out.

    Raises:
        AuditError: The source does not answer, or knows nothing, or leaves out a package.
        LockError: A file has more than packages with their versions.
    """
    wanted = {(one.name, Version(one.version)) for file in files for one in locked(file)}
    with TemporaryDirectory(prefix="audit-") as place:
        probe = Path(place, "probe.txt")
        probe.write_text(f"{PROBE}\n", encoding="utf-8")
        known = _ask([probe], source, place)
        if not any(each.get("vulns") for each in known.values()):
            raise AuditError(
                f"the source of advisories knows of none for {PROBE}, of which there are several:"
                f" it is not one. {REMEDY}"
            )
        accepting = [word for one in accepted for word in ("--ignore-vuln", one)]
        found = _ask(files, [*source, *accepting], place)
    # pip-audit goes by the markers of this machine, not of an image; what it skips has no version.
    answered = {
        (name, Version(each["version"])) for name, each in found.items() if "version" in each
    }
    left_out = [f"{name} {version}" for name, version in sorted(wanted - answered)]
    if left_out:
        raise AuditError(f"nothing was said of {', '.join(left_out[:20])}. {REMEDY}")
    return [
        f"{name} {each['version']}: {vulnerability['id']}"
        f" ({', '.join(vulnerability['aliases']) or 'no alias'}),"
        f" mended in {', '.join(vulnerability['fix_versions']) or 'no version yet'}"
        for name, each in sorted(found.items())
        for vulnerability in each.get("vulns", ())
    ]


def _ask(files: Sequence[Path], source: Sequence[str], place: str) -> dict[str, Mapping[str, Any]]:
    """What pip-audit reports of each package; nothing of an earlier answer is used."""
    command = [
        *(sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip"),
        *("--progress-spinner", "off", "--format", "json", "--aliases", "on"),
        *("--cache-dir", str(Path(place, "cache")), *source),
        *(argument for file in files for argument in ("--requirement", str(file))),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS)
        report = json.loads(done.stdout)
        found = {each["name"]: each for each in report["dependencies"]}
    except (subprocess.TimeoutExpired, ValueError, KeyError, TypeError):
        said = "" if "done" not in locals() else (done.stderr.strip().splitlines() or [""])[-1]
        raise AuditError(
            f"the source of advisories did not answer ({said[:200]}). {REMEDY}"
        ) from None
    if done.returncode not in (0, 1):
        raise AuditError(f"pip-audit ended with {done.returncode}. {REMEDY}")
    return found


def main() -> int:
    """Audit the lock of this tree, or the files that are named."""
    parser = argparse.ArgumentParser(prog="make audit")
    parser.add_argument("files", nargs="*", type=Path, default=[ROOT / "constraints.txt"])
    parser.add_argument("--source", choices=("osv", "pypi"), default="osv")
    parser.add_argument("--osv-url", help="an OSV interface of your own")
    parser.add_argument(
        "--advisories", type=Path, help="folder of OSV's files, as its exports have"
    )
    parser.add_argument("--max-age-days", type=float, default=14.0, help="of the newest advisory")
    parser.add_argument("--accept", nargs="*", default=[], metavar="ID", help="known, and accepted")
    given = parser.parse_args()
    with ExitStack() as stack:
        try:
            url = given.osv_url
            if given.advisories is not None:
                url = stack.enter_context(serve(given.advisories, given.max_age_days))
            source = ["--vulnerability-service", "osv" if url else given.source]
            source += ["--osv-url", url] if url else []
            found = audit(given.files, source, given.accept)
        except (AuditError, AdvisoryError, LockError) as error:
            print(f"audit: {error}", file=sys.stderr)
            return 2
    for line in found:
        print(line)
    print(f"{len(found)} known vulnerabilities in {', '.join(map(str, given.files))}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
