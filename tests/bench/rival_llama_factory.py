"""frontdoor.rival.*: what LLaMA-Factory's documentation has one type and edit, beside ours.

The rule, for both: a command is a line that the documentation gives to be typed, up to the first
question to the own model; a file is one that the user must edit by hand. Not counted: making an
environment, what is optional, bringing the rows and the base model, and questions after the first.
Minutes are not compared: nothing of LLaMA-Factory is run.
"""

from collections.abc import Sequence

from tests.bench.figures import Entry

SOURCE = "https://github.com/hiyouga/LlamaFactory/blob/f7dcb25d500222e3e55936c139f84f1314677db0"
COMMANDS = (
    "git clone --depth 1 https://github.com/hiyouga/LlamaFactory.git",
    "cd LlamaFactory",
    "pip install -e .",
    "llamafactory-cli train examples/train_lora/qwen3_lora_sft.yaml",
    "llamafactory-cli chat examples/inference/qwen3_lora_sft.yaml",
)
"""README.md, Install from Source and Quickstart. Left out: the requirements of metrics, which are
optional, and the third command of the Quickstart, which merges."""
EDITED = (
    "data/dataset_info.json",
    "examples/train_lora/qwen3_lora_sft.yaml",
    "examples/inference/qwen3_lora_sft.yaml",
)
"""The dataset's description (README.md, Data Preparation; data/README.md); model and dataset of the
training, model and adapter of the chat (examples/README.md)."""
EDITED_OF_OURS: tuple[str, ...] = ()
"""`mill recipe new` writes the recipe."""


def counted(typed: Sequence[str]) -> list[str]:
    """Commands of ours that count by the rule."""
    commands = [command for command in typed if " -m venv " not in command]
    first = next((at for at, it in enumerate(commands) if it.startswith("mill chat")), None)
    return commands if first is None else commands[: first + 1]


def rival_entries(typed: Sequence[str]) -> list[Entry]:
    """Commands and files of ours over theirs."""
    ours = counted(typed)
    return [
        _entry("commands", ours, COMMANDS, "Install from Source, Quickstart"),
        _entry("edited_files", EDITED_OF_OURS, EDITED, "Data Preparation, Quickstart"),
    ]


def _entry(name: str, ours: Sequence[str], theirs: Sequence[str], where: str) -> Entry:
    ratio = len(ours) / len(theirs)
    note = f"{len(ours)} beside {len(theirs)}, counted, not run: {'; '.join(theirs)}"
    return Entry(
        f"frontdoor.rival.{name}",
        len(ours),
        name.replace("_", " "),
        "LLaMA-Factory",
        ratio,
        "ratio <= 1",
        ratio <= 1,
        (ratio, ratio),
        f"{note} ({SOURCE}/README.md, {where}). Ours: {'; '.join(ours) or 'none'}",
    )
