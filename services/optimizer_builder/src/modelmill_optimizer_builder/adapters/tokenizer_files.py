"""The files of a tokenizer that every form of a model has, as training wrote them."""

import shutil
from pathlib import Path

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
CONFIG_FILES = ("config.json", "generation_config.json")


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy the tokenizer and chat template of a Hugging Face folder."""
    _copy(source, folder, TOKENIZER_FILES)


def copy_configs(source: Path, folder: Path) -> None:
    """Copy what a Hugging Face folder says of its model."""
    _copy(source, folder, CONFIG_FILES)


def _copy(source: Path, folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
