"""`mill moderation` and default rules: let go by name or by a person, and tried."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_support.gateways import told_of
from cli_support.policy_gateway import POLICY, PolicyGateway, said


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[PolicyGateway]:
    with told_of(PolicyGateway(), monkeypatch) as server:
        yield server


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "ours.yaml"
    file.write_text(POLICY)
    return file


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


def test_default_rules_go_once_somebody_says_yes_to_the_list(
    gateway: PolicyGateway,
    policy: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gateway.removes = ["iban", "mail\x1b[2J"]
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    shown = said(capsys, "apply", policy, status=2)
    assert "nothing was changed" in shown
    assert len(gateway.asked) == 1

    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    shown = said(capsys, "apply", policy)
    assert "  iban\n" in shown
    assert "\x1b[2J" not in shown
    assert gateway.asked[-1][2]["remove_default_rules"] == gateway.removes
    assert "without default rules: iban" in shown


@pytest.mark.parametrize("words", [("apply", "POLICY"), ("revert", "1")])
def test_where_nobody_can_be_asked_default_rules_go_by_name_alone(
    gateway: PolicyGateway, policy: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    gateway.removes = ["iban", "mail"]
    command = [policy if word == "POLICY" else word for word in words]
    flags = ("--remove-default-rule", "iban", "--remove-default-rule", "mail")
    shown = said(capsys, *command, status=2)
    assert "nothing was changed" in shown
    assert " ".join(flags) in shown
    assert "--remove-default-rule mail" in said(capsys, *command, *flags[:2], status=2)
    assert "version 2 is in force" in said(capsys, *command, *flags)
    assert gateway.asked[-1][2]["remove_default_rules"] == ["iban", "mail"]


def test_a_dry_run_asks_nothing_and_says_what_must_be_named(
    gateway: PolicyGateway, policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.removes = ["iban"]
    assert "to be let go by name: iban" in said(capsys, "apply", policy, "--dry-run")


def test_default_rules_judge_beside_files_where_that_is_asked_and_beside_what_is_in_force(
    gateway: PolicyGateway, policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("DE89370400440532013000")
    assert "1 mask" in said(capsys, "test", file)
    assert "1 mask" in said(capsys, "test", file, "--policy", policy, "--with-default-rules")
    alone = said(capsys, "test", file, "--policy", policy)
    assert "1 allow" in alone
    assert "the files alone" in alone
