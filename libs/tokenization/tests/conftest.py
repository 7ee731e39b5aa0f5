"""Model folders with a small byte-level tokenizer, made without torch."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from modelmill_testkit.models import make_tiny_llama
from modelmill_testkit.tool_templates import HERMES
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from .bounded_pools import ENDLESS

SMOLLM2_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CORPUS = [
    "the price of a thing is what people give for it",
    "价格是人们愿意付出的东西",
    "x = 12345",
]


def write_model_folder(
    folder: Path, template: str | None = SMOLLM2_TEMPLATE, *, template_in_config: bool = False
) -> Path:
    """Tokenizer files as transformers saves them: byte-level BPE, digits apart, ChatML tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=[AddedToken(token, special=True) for token in special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    config: dict[str, object] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>",
        "eos_token": {"content": "<|im_end|>", "__type": "AddedToken", "special": True},
        "unk_token": "<|endoftext|>",
    }
    if template is not None and template_in_config:
        config["chat_template"] = template
    elif template is not None:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def make_folder() -> Callable[..., Path]:
    """`write_model_folder`, for tests that need a folder of their own."""
    return write_model_folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def tokenizer(model_folder: Path) -> ChatTokenizer:
    return ChatTokenizer.load(model_folder)


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound model with tools."""
    return make_tiny_llama(tmp_path_factory.mktemp("good"), chat_template=HERMES)


@pytest.fixture(scope="session")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose template does not end when it is asked `BOOM`."""
    return make_tiny_llama(tmp_path_factory.mktemp("endless"), chat_template=ENDLESS)
