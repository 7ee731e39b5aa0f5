"""How the service starts: the loop that answers probes is never held up by its policy."""

import threading
from pathlib import Path

import pytest
from modelmill_guard.bundle import Bundle
from modelmill_moderation import main
from modelmill_moderation.settings import Settings
from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.process import Stopping


async def test_the_default_policy_is_compiled_beside_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compiled_in: list[threading.Thread] = []

    def load_policy(_path: Path) -> Bundle:
        compiled_in.append(threading.current_thread())
        raise InvalidInputError("enough is known")

    monkeypatch.setattr(main, "load_policy", load_policy)
    settings = Settings(
        nats_url="nats://127.0.0.1:1", nats_token="t", service_secret="s", artifact_root=tmp_path
    )
    with pytest.raises(InvalidInputError, match="enough is known"):
        await main.serve(settings, Stopping())
    assert compiled_in != [threading.main_thread()]
