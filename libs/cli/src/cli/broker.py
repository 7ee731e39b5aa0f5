"""nats-server for one machine: token, loopback only, every acknowledged message on the disk."""

import shutil
import sys
from pathlib import Path

from service_kit.errors import PreconditionError

from cli.state_folder import StateFolder, write_private

CONFIG = """\
listen: "127.0.0.1:{port}"
server_name: modelmill
authorization {{ token: "{token}" }}
jetstream {{
  store_dir: "{store}"
  # An acknowledgement means fsynced: without this, a power cut loses acknowledged jobs.
  sync_interval: always
}}
"""


def broker_command(state: StateFolder, *, port: int, token: str) -> list[str]:
    """Write the broker's configuration, readable by its owner alone, and give its command.

    Raises:
        PreconditionError: nats-server is not installed.
    """
    binary = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which(
        "nats-server"
    )
    if binary is None:
        raise PreconditionError("nats-server is not installed; run `make install`")
    config = state.path / "run" / "nats.conf"
    write_private(config, CONFIG.format(port=port, token=token, store=state.bus).encode())
    return [sys.executable, "-m", "cli.tether", "nats", str(port), binary, "-c", str(config)]
