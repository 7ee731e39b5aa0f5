"""What is generated is what the tool writes: `make client` writes it anew."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "tools"))

import generate


@pytest.mark.tier("test")
def test_the_types_are_those_of_the_gateways_document():
    written = (generate.PACKAGE / "types.py").read_text("utf-8")
    assert written == generate.types_source(), "run make client and commit the result"


@pytest.mark.tier("test")
def test_the_synchronous_half_is_made_of_the_asynchronous_one():
    made = dict(generate.sync_sources())
    written = {file: file.read_text("utf-8") for file in generate.PACKAGE.glob("_sync/*.py")}
    assert written == made, "run make client and commit the result"
