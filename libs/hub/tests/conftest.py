"""A hub on loopback with a tiny model."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from modelmill_testkit.hub_server import running_hub
from modelmill_testkit.models import make_tiny_llama

sys.path.append(str(Path(__file__).parent))

from hub_support.site import Site, contents  # found by the line above


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    model = make_tiny_llama(tmp_path / "tiny")
    (model / "README.md").write_text("---\nlicense: apache-2.0\n---\n\n# Tiny\n")
    with running_hub() as server:
        server.add("org/tiny", contents(model))
        yield Site(server, tmp_path / "hub", model)
