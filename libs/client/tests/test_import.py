"""Importing the client is cheap."""

import json
import subprocess
import sys

import pytest

MAX_SECONDS = 0.15
HEAVY = ("torch", "grpc", "google.protobuf", "openai", "pydantic", "modelmill", "modelmill_gateway")
SCRIPT = """
import json, sys, time
import httpx
began = time.process_time()
import modelmill_client
print(json.dumps([time.process_time() - began, sorted(sys.modules)]))
"""


@pytest.mark.tier("test")
def test_an_import_is_fast_and_loads_nothing_large():
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60
    )
    seconds, modules = json.loads(run.stdout)

    assert [name for name in HEAVY if name in modules] == []
    # Processor time: what else the machine does takes none of it.
    assert seconds < MAX_SECONDS
