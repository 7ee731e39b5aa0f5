"""One word has one meaning: two public types do not share a name, and no retired term returns.

CONTRIBUTING.md has the glossary. A type that is the field's word in two places that never meet may
keep its name in both (`SHARED`, with the reason). `OPEN` holds the others that share a name today:
a name leaves it once one of the two is renamed or both are one, and none may join it.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
OWN_FOLDERS = ("libs", "services", "tests", "deploy", "examples", "proto")
NOT_PRODUCT = ("contracts", "testkit")
CLIENT = ROOT / "libs" / "client" / "src" / "modelmill_client"
GENERATED = (CLIENT / "types.py", CLIENT / "_sync")
"""The gateway's names, and those of the asynchronous half."""

SHARED = {
    "Settings": "each service has one, of the same base",
    "TritonPythonModel": "Triton asks for a class of this name in each backend",
    "PolicyProcedures": "one is a stub of the other, over gRPC",
    "CreateFineTuningJob": "the gateway's use case orders what the trainer's accepts",
    "ControlJob": "the gateway's use case asks what the owner's records",
    "EmbedTexts": "the gateway's use case asks what inference's does",
}
"""Names that two public types may have, and why."""

OPEN: frozenset[str] = frozenset(
    {
        "AcceptedDataset",
        "AuditTrail",
        "Bucket",
        "Budget",
        "CascadePath",
        "Change",
        "Comparison",
        "ControlJob",
        "Conversation",
        "CreateFineTuningJob",
        "EmbedTexts",
        "Follows",
        "Job",
        "JobEvent",
        "Limits",
        "Line",
        "Loading",
        "Moderation",
        "ModerationResult",
        "Page",
        "Policies",
        "Policy",
        "PolicyChanges",
        "PolicyProcedures",
        "Prompt",
        "PromptTokenizer",
        "Reply",
        "Route",
        "Settings",
        "Slot",
        "TextStream",
        "TokenLogprob",
        "TokenizerFacts",
        "ToolCall",
        "TritonPythonModel",
        "Turn",
        "Usage",
        "Verdict",
        "Worker",
    }
)
"""Names that two public types have still."""

RETIRED = {
    "wish": "desired_state",
    "HeardWish": "ControlSignal",
    "JobWish": "JobDesiredState",
    "Offer": "JobView",
    "Hands": "WorkerCapacity",
    "Mark": "Watermark",
    "Pulse": "Heartbeat",
    "JobLedger": "JobIndex",
    "StreamFacts": "StreamUsage",
    "WaitingRoom": "PendingJobQuota",
    "SparedModeration": "CircuitBreakerModeration",
    "GuardedAnswer": "RuleFilteredStream",
    "JudgedAnswer": "ClassifierFilteredStream",
    "FileLooker": "FileInspector",
    "InnerCalls": "BatchRequests",
    "Gate": "Middleware",
    "HttpDoor": "HttpServer",
    "InProcessClient": "BatchRequests",
    "HeldForm": "ConstrainedOutput",
    "farewell": "release_lease",
    "tether": "parent_watchdog",
    "neighbours": "ports",
    "waiting_room": "pending_job_quota",
    "spared_moderation": "circuit_breaker",
    "guarded_answer": "rule_filtered_stream",
    "judged_answer": "classifier_filtered_stream",
    "file_looker": "file_inspector",
    "held_form": "constrained_output",
    "exam": "final_eval",
    "TrainedSpeaker": "TrainedModelGenerator",
    "Beginning": "SoftPrompt",
    "fresh_beginning": "new_soft_prompt",
    "sit_exam": "score_test_split",
    "KeptCheckpoints": "CheckpointRetention",
    "ZeroDivision": "ZeroRun",
    "WantAnswers": "KtoObjective",
    "PreferBetterAnswers": "DpoObjective",
    "FollowTeacher": "DistillationObjective",
    "UploadShelf": "UploadStore",
    "StoryWriter": "BlockFileWriter",
    "Speaker": "AnswerGenerator",
    "RowStory": "RowProvenance",
    "stories": "provenance",
    "regather": "reshard",
    "ask_models": "model_requests",
    "keeping_pace": "pass_synchronizer",
    "learned_part": "loss_selection",
    "open_choices": "auto_choices",
}
"""Terms of ours that gave way to the field's."""
RETIRED_TERM = re.compile(rf"\b(?:{'|'.join(RETIRED)})\b")
PUBLIC_TYPE = re.compile(r"^class ([A-Za-z]\w*)", re.MULTILINE)


def test_two_public_types_do_not_share_a_name() -> None:
    shared = {name for name, places in _public_types().items() if len(places) > 1}

    new = {name: _public_types()[name] for name in shared - OPEN - SHARED.keys()}
    assert new == {}, "rename one, or say in SHARED why both may have the name"
    gone = sorted((OPEN | SHARED.keys()) - shared)
    assert gone == [], "no longer shared: take these out of OPEN or SHARED"


def test_no_retired_term_returns_as_a_name_of_a_type_or_a_file() -> None:
    files = [file for file in _sources() if file.stem.removeprefix("test_") in RETIRED]
    named = [
        f"{file.relative_to(ROOT)}: {name}, now {RETIRED[name]}"
        for file in _sources()
        for name in _defined(file)
        if name in RETIRED
    ]
    assert [str(file.relative_to(ROOT)) for file in files] == []
    assert named == []


@cache
def _public_types() -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for file in _sources():
        path = file.relative_to(ROOT)
        is_product = "src" in path.parts and path.parts[1] not in NOT_PRODUCT
        if not is_product or any(map(file.is_relative_to, GENERATED)):
            continue
        for name in PUBLIC_TYPE.findall(file.read_text("utf-8")):
            found[name].append(str(path))
    return found


@cache
def _sources() -> tuple[Path, ...]:
    return tuple(
        file
        for folder in OWN_FOLDERS
        for file in sorted((ROOT / folder).rglob("*.py"))
        if "contracts" not in file.parts and "node_modules" not in file.parts
    )


def _defined(file: Path) -> Iterator[str]:
    """Names that a file with a retired term gives to classes, functions, parameters, attributes."""
    if not RETIRED_TERM.search(text := file.read_text("utf-8")):
        return
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.arg(arg=name):
                yield name
            case ast.AsyncFunctionDef(name=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
