"""`make api-test`: Schemathesis asks a running gateway everything that its document describes.

    python -m tests.api [--seconds N] [--seed N] [--only OPERATION]

The gateway is the one of its own tests: real sockets, a real broker, services that say what they
are told to. It is asked with the tokens of two tenants, one after the other. What fails: an answer
of 500 and more, a body that is not as the document says, a route that answers without a token.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path.append(str(ROOT / "services" / "gateway" / "tests"))

from gateway_support.house import House, run_house  # noqa: E402 - a part of those tests

SCHEMATHESIS = ROOT / "build" / "api" / "bin" / "st"
TENANTS = ("acme", "stranger")
CHECKS = (
    "not_a_server_error",
    "content_type_conformance",
    "response_schema_conformance",
    "ignored_auth",
)
PHASES = "examples,coverage,fuzzing,stateful"
CASE_SECONDS = 10
"""No request may take longer: whatever is asked for is small."""


async def ask(house: House, tenant: str, options: argparse.Namespace) -> int:
    """Schemathesis's status for the token of one tenant."""
    chosen = ["--include-operation-id", options.only] if options.only else []
    process = await asyncio.create_subprocess_exec(
        *(SCHEMATHESIS, "run", f"{house.url}/openapi.json"),
        *("--header", f"Authorization: Bearer {house.issuer.token(tenant=tenant)}"),
        *("--checks", ",".join(CHECKS), "--phases", PHASES, "--max-examples", "40"),
        *("--max-time", str(options.seconds // len(TENANTS)), "--seed", str(options.seed)),
        *("--request-timeout", str(CASE_SECONDS), "--continue-on-failure", "--no-color"),
        *("--warnings", "off", "--suppress-health-check", "all", *chosen),
        # Where it keeps what it found before; every run is by its seed alone.
        cwd=tempfile.gettempdir(),
    )
    return await process.wait()


async def run(options: argparse.Namespace) -> int:
    """0 when nothing was found."""
    with tempfile.TemporaryDirectory() as folder:
        async with run_house(Path(folder), webhook_allow_private=True) as house:
            found = [await ask(house, tenant, options) for tenant in TENANTS]
    return max(found)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=160, help="For all tenants together.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="One operationId.")
    return asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
