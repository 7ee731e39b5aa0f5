import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from modelmill_service_kit.errors import InvalidInputError
from modelmill_tokenization.chat_tokenizer import TOKENIZER_FILES, ChatTokenizer
from modelmill_tokenization.tool_turns import Turn
from tokenizers import Tokenizer

MakeFolder = Callable[..., Path]


def test_it_imports_neither_torch_nor_transformers() -> None:
    check = (
        "import sys, modelmill_tokenization\n"
        "sys.exit(bool({'torch', 'transformers', 'grpc'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_an_answer_ends_with_what_stops_the_engine(tokenizer: ChatTokenizer) -> None:
    answer = tokenizer.encode_answer("the price")

    assert tokenizer.end_of_turn == "<|im_end|>"
    assert answer[-1] in tokenizer.eos_ids
    assert not tokenizer.eos_ids & set(answer[:-1])
    assert tokenizer.decode(answer) == "the price"


def test_an_example_is_the_prompt_of_serving_followed_by_the_answer(
    tokenizer: ChatTokenizer,
) -> None:
    prompt: list[Turn] = [{"role": "user", "content": "a thing"}]

    example = tokenizer.encode_example([*prompt, {"role": "assistant", "content": "价格"}])

    assert example.ids[: example.answer_start] == tokenizer.encode_prompt(prompt)
    assert example.ids[example.answer_start :] == tokenizer.encode_answer("价格")


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "assistant", "content": "alone"}],
        [{"role": "assistant", "content": "first"}, {"role": "user", "content": "last"}],
    ],
)
def test_an_example_must_end_with_an_answer_to_something(
    tokenizer: ChatTokenizer, messages: list[Turn]
) -> None:
    with pytest.raises(InvalidInputError, match="assistant's turn"):
        tokenizer.encode_example(messages)


def test_the_truncation_of_whoever_saved_the_tokenizer_is_not_applied(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    folder = make_folder(tmp_path)
    saved = Tokenizer.from_file(str(folder / "tokenizer.json"))
    saved.enable_truncation(4)
    saved.enable_padding(length=64)
    saved.save(str(folder / "tokenizer.json"))

    tokenizer = ChatTokenizer.load(folder)

    assert len(tokenizer.encode("1234567")) == 7


def test_the_eos_ids_come_from_the_generation_config_first(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    folder = make_folder(tmp_path)
    (folder / "config.json").write_text('{"eos_token_id": 9}')
    (folder / "generation_config.json").write_text('{"eos_token_id": [0, 7]}')

    assert ChatTokenizer.load(folder).eos_ids == {0, 7, 2}


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ raise_exception('roles must alternate') }}",
        "{{ messages.append(1) }}",
        "{{ range(10 ** 9) | list }}",
        "{{ messages[5].content }}",
        "{{ 1 / 0 }}",
    ],
)
def test_a_template_that_fails_or_reaches_out_is_refused(
    tmp_path: Path, make_folder: MakeFolder, template: str
) -> None:
    tokenizer = ChatTokenizer.load(make_folder(tmp_path, template))

    with pytest.raises(InvalidInputError, match="chat template refuses"):
        tokenizer.encode_prompt([{"role": "user", "content": "x"}])


def test_a_template_that_does_not_parse_is_refused_at_loading(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    with pytest.raises(InvalidInputError, match="does not parse"):
        ChatTokenizer.load(make_folder(tmp_path, "{% for %}"))


def test_a_model_without_a_template_takes_only_plain_text(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    tokenizer = ChatTokenizer.load(make_folder(tmp_path, None))

    assert tokenizer.encode("the price")
    with pytest.raises(InvalidInputError, match="no chat template"):
        tokenizer.encode_prompt([{"role": "user", "content": "x"}])


@pytest.mark.parametrize("missing", ["tokenizer.json", "tokenizer_config.json"])
def test_a_folder_without_a_needed_file_is_refused_by_name(
    tmp_path: Path, make_folder: MakeFolder, missing: str
) -> None:
    folder = make_folder(tmp_path)
    (folder / missing).unlink()

    with pytest.raises(InvalidInputError, match=missing):
        ChatTokenizer.load(folder)


def test_the_smollm2_template_adds_its_own_system_turn(tokenizer: ChatTokenizer) -> None:
    text = tokenizer.render([{"role": "user", "content": "hi"}], add_generation_prompt=True)

    assert text.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert text.endswith("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n")


def test_loading_reads_no_file_that_is_not_named(model_folder: Path) -> None:
    check = (
        "import sys\n"
        "from pathlib import Path\n"
        "from modelmill_tokenization.chat_tokenizer import TOKENIZER_FILES, ChatTokenizer\n"
        "folder, read = Path(sys.argv[1]), set()\n"
        "def hear(event, arguments):\n"
        "    if event == 'open' and str(arguments[0]).startswith(str(folder)):\n"
        "        read.add(str(Path(arguments[0]).relative_to(folder)))\n"
        "sys.addaudithook(hear)\n"
        "ChatTokenizer.load(folder)\n"
        "print(*sorted(read))\n"
        "sys.exit(not read <= set(TOKENIZER_FILES))"
    )
    run = [sys.executable, "-c", check, str(model_folder)]
    done = subprocess.run(run, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    # The library opens its own file, unheard.
    assert set(done.stdout.split()) <= set(TOKENIZER_FILES) - {"tokenizer.json"}
    assert "tokenizer_config.json" in done.stdout
