"""Makes the streams of a broker, as the identity that may: `python -m modelmill_bus.deploy`.

Reads NATS_URL, and NATS_NKEY_SEED_FILE, NATS_TOKEN_FILE or NATS_TOKEN; NATS_CA_FILE when the
broker speaks TLS; NATS_REPLICAS (1), on how many brokers of a cluster streams are made.
"""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from modelmill_service_kit.bus_access import BusTls, Credential, NkeySeed
from modelmill_service_kit.errors import DomainError, InvalidInputError
from modelmill_service_kit.settings import secret_in

from modelmill_bus.link import open_link
from modelmill_bus.permissions import DEPLOY


async def make_streams(
    url: str, credential: Credential, tls: BusTls | None = None, *, replicas: int = 1
) -> None:
    """Create the streams of the table where they are missing, and add subjects that are new.

    Raises:
        UnavailableError: no broker within 30 s, or it refuses the credential.
        PreconditionError: a file of the credential or of TLS cannot be used.
    """
    async with open_link(url, credential, name=DEPLOY, tls=tls, replicas=replicas):
        pass


def main(environment: Mapping[str, str]) -> int:
    seed, token = environment.get("NATS_NKEY_SEED_FILE"), environment.get("NATS_TOKEN")
    token_file = environment.get("NATS_TOKEN_FILE")
    authorities = environment.get("NATS_CA_FILE")
    try:
        if token_file:
            token = secret_in(Path(token_file), "NATS_TOKEN_FILE")
        if "NATS_URL" not in environment or not (seed or token):
            raise InvalidInputError("set NATS_URL, and NATS_NKEY_SEED_FILE or NATS_TOKEN_FILE")
        credential = NkeySeed(Path(seed)) if seed else str(token)
        tls = BusTls(Path(authorities)) if authorities else None
        replicas = environment.get("NATS_REPLICAS") or "1"
        if not replicas.isdecimal() or not int(replicas):
            raise InvalidInputError(f"NATS_REPLICAS must be 1 or more, not {replicas!r}")
        url = environment["NATS_URL"]
        asyncio.run(make_streams(url, credential, tls, replicas=int(replicas)))
    except DomainError as error:
        print(f"deploy: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
