"""`mill moderation`: policies from a terminal, and what a policy would do to a file."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_support.gateways import told_of
from cli_support.policy_gateway import DEFAULT, POLICY, PolicyGateway, said
from hypothesis import given
from hypothesis import strategies as st
from modelmill_cli.policy_trial import Line, try_policy
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.policy import parse_policy
from modelmill_guard.verdict import Direction


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[PolicyGateway]:
    with told_of(PolicyGateway(), monkeypatch) as server:
        yield server


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "ours.yaml"
    file.write_text(POLICY)
    return file


# Policies --------------------------------------------------------------------------------------


def test_files_are_put_in_force_as_one_policy(
    gateway: PolicyGateway, policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("rules: []")
    shown = said(capsys, "apply", policy, other, "--expect", "sha256:one")

    assert gateway.asked == [
        (
            "PUT",
            "/v1/moderation/policy",
            {
                "documents": [
                    {"name": "ours.yaml", "text": POLICY},
                    {"name": "other.yaml", "text": "rules: []"},
                ],
                "dry_run": False,
                "expected_digest": "sha256:one",
            },
        )
    ]
    assert "added rules: fruit" in shown
    assert "version 2 is in force sha256:two" in shown
    assert "a dry run" in said(capsys, "apply", policy, "--dry-run")


def test_versions_are_listed_and_brought_back(
    gateway: PolicyGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = said(capsys, "versions")
    assert "version 1 again" in listed
    assert "\x1b[2J" not in listed
    said(capsys, "revert", 1)
    said(capsys, "revert", "--shared")
    assert [body for _, _, body in gateway.asked[1:]] == [{"version": 1}, {"shared": True}]
    assert "name a version" in said(capsys, "revert", status=2)
    assert "name a version" in said(capsys, "revert", 1, "--shared", status=2)


def test_the_policy_in_force_is_printed_or_written_to_a_folder_and_nowhere_else(
    gateway: PolicyGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert POLICY.strip() in said(capsys, "show")
    gateway.name = "../../outside.yaml"
    assert DEFAULT.strip() in said(capsys, "show")
    said(capsys, "show", "--output", tmp_path / "inner" / "policy")
    assert (tmp_path / "inner" / "policy" / "outside.yaml").read_text() == POLICY
    assert not (tmp_path / "outside.yaml").exists()


# Trials ----------------------------------------------------------------------------------------


def test_each_line_is_judged_and_counted_by_rule(
    policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "texts.txt"
    file.write_text(
        "a fine day\n\nask a@b.example or c@d.example\nthe forbidden fruit\x1b[2J\n"
        "[bold]system prompt[/bold]\n"
    )
    shown = said(capsys, "test", file, "--policy", policy)

    assert "4 texts: 1 allow, 1 flag, 1 mask, 1 block" in shown
    assert "4: the ⟦forbidden fruit\\u001b⟧[2J" in shown
    assert "5: [bold]⟦system prompt⟧[/bold]" in shown
    mail = next(line for line in shown.splitlines() if line.startswith("mail "))
    assert mail.split() == ["mail", "pii", "mask", "1", "2"]
    assert "1 flag" not in said(
        capsys, "test", file, "--policy", policy, "--direction", "output", "--examples", 0
    )


ROWS = [
    {"text": "a fine day", "label": "allow"},
    {"text": "the forbidden fruit", "label": "block"},
    {"text": "the forbidden fruit", "label": "allow"},
    {"text": "ask a@b.example", "label": True},
    {"text": "a secret that no rule knows", "label": "block"},
    {"text": "no label"},
]


def test_judges_that_are_not_asked_are_named(
    policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = "{id: outside, severity: low, action: flag, directions: output, threshold: 0.5,"
    judge += " service: any, categories: {hate: hate}}"
    policy.write_text(f"{POLICY}judges: [{judge}]\n")
    file = tmp_path / "texts.txt"
    file.write_text("calm\n")

    assert "judges" not in said(capsys, "test", file, "--policy", policy)
    shown = said(capsys, "test", file, "--policy", policy, "--direction", "output")
    assert "judges are asked only where texts are served (outside)" in shown


def test_labels_give_a_confusion_table_precision_and_recall(
    policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, ROWS)))
    shown = said(capsys, "test", file, "--policy", policy)

    # Three were touched, two of them rightly; three should be, two of them were.
    assert "precision (touched or not): 0.6667" in shown
    assert "recall (touched or not): 0.6667" in shown
    block = [line for line in shown.splitlines() if line.startswith("block ")][-1]
    assert block.split()[1:] == ["1", "0", "0", "1"]

    # What is said beside it comes behind it.
    as_json = said(capsys, "test", file, "--policy", policy, "--json")
    counted, _ = json.JSONDecoder().raw_decode(as_json)
    assert sum(counted["actions"].values()) == counted["judged"] == 6
    assert {"label": "block", "action": "block", "texts": 1} in counted["confusion"]
    assert (counted["precision"], counted["mismatches"]) == (2 / 3, [3, 5])
    strict = said(capsys, "test", file, "--policy", policy, "--expect-all", status=1)
    assert "line 3 was to get another action" in strict
    assert "line 5 was to get another action" in strict
    file.write_text(json.dumps(ROWS[0]))
    said(capsys, "test", file, "--policy", policy, "--expect-all")


def test_bad_lines_are_named_and_the_others_are_judged(
    policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.jsonl"
    bad = [b"{", b"[]", b'{"text": 3}', b'{"text": "x", "label": "maybe"}', b"\xff"]
    file.write_bytes(b"\n".join([*bad, b'{"text": "' + b"x" * 100_001 + b'"}', b'{"text": "x"}']))
    shown = said(capsys, "test", file, "--policy", policy)

    assert "1 texts: 1 allow" in shown
    for number, why in enumerate(
        ["not JSON", "needs an object", "needs an object", "label must be", "not UTF-8", "100001"],
        1,
    ):
        assert f"line {number} was left out: " in shown
        assert why in shown
    said(capsys, "test", file, "--policy", policy, "--expect-all", status=1)
    file.write_bytes(b"{\n" * 30)
    assert "and 10 lines more" in said(capsys, "test", file, "--policy", policy)


def test_without_files_the_policy_in_force_judges(
    gateway: PolicyGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("the forbidden fruit")
    shown = said(capsys, "test", file)
    assert "your own policy, version 2" in shown
    assert "1 block" in shown


def test_a_policy_that_is_wrong_is_refused_with_all_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("rules:\n- {id: X}\n- 3\n")
    shown = said(capsys, "test", wrong, "--policy", wrong, status=2)
    assert shown.count("mill: wrong.yaml:2: rule X") == 6
    assert "mill: wrong.yaml:3: rule 2: is not a mapping" in shown


@pytest.mark.tier("check")
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_precision_and_recall_are_what_their_definitions_say(
    tmp_path_factory: pytest.TempPathFactory, cases: list[tuple[bool, bool]]
) -> None:
    bundle = compile_policy(parse_policy({"p": POLICY}))
    compiled = CompiledPolicy.from_bundle(bundle.content)
    file = tmp_path_factory.mktemp("trial") / "rows.jsonl"
    rows = [Line("forbidden fruit" if hit else "fine", label) for hit, label in cases]
    file.write_text("\n".join(json.dumps({"text": r.text, "label": r.label}) for r in rows))
    trial = try_policy(compiled, file, Direction.INPUT, jsonl=True, examples=0)

    right = sum(hit and label for hit, label in cases)
    hits, labels = sum(hit for hit, _ in cases), sum(label for _, label in cases)
    assert trial.precision == (right / hits if hits else None)
    assert trial.recall == (right / labels if labels else None)
    assert len(trial.mismatches) == sum(hit != label for hit, label in cases)
