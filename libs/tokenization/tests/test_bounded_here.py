"""A bounded tokenizer is a tokenizer like another, but for what does not end."""

import threading
from pathlib import Path

import psutil
import pytest
from modelmill_service_kit.errors import InvalidInputError
from modelmill_testkit.models import make_tiny_llama
from modelmill_tokenization import ChatTokenizer, Function, Turn
from modelmill_tokenization.bounded import LimitError, Limits
from modelmill_tokenization.bounded.here import BoundedConversations, BoundedTokenizer
from modelmill_tokenization.conversations import (
    Conversation,
    ConversationEncoder,
    EncodedConversation,
)
from modelmill_tokenization.prompt_facts import prompt_facts

pytestmark = [pytest.mark.tier("test"), pytest.mark.real_starts]

QUICK = Limits(cpu_seconds=0.3)
ENDLESS = (
    "{% if 'boom' in messages[0].content %}{{ (messages|length + 9) ** (10 ** 9) }}{% endif %}"
    "{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}"
)
MANY = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
TOOL: Function = {"name": "f", "description": "", "parameters": {"type": "object"}}


def said(*contents: str) -> list[Turn]:
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": text} for n, text in enumerate(contents)]


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llama(tmp_path_factory.mktemp("endless"), chat_template=ENDLESS)


def test_it_says_what_the_tokenizer_says(good: Path) -> None:
    own, bounded = ChatTokenizer.load(good), BoundedTokenizer.load(good)
    turns = said("one", "two", "\u4ef7\u683c \U0001f642")
    assert bounded.facts == own.facts
    assert prompt_facts(good, bounded) == prompt_facts(good, own)
    for tools in ([], [TOOL]):
        assert bounded.encode_prompt(turns, tools) == own.encode_prompt(turns, tools)
        rendered = bounded.render(turns, add_generation_prompt=False, tools=tools)
        assert rendered == own.render(turns, add_generation_prompt=False, tools=tools)
    assert bounded.encode_answer("so") == own.encode_answer("so")
    assert bounded.encode_example(turns[:2]) == own.encode_example(turns[:2])
    texts = ["a", "", "b c" * 2000] * 400
    assert bounded.encode_batch(texts) == own.encode_batch(texts)
    conversations = [
        *(Conversation(said("q", f"answer {n}", "and", "so")) for n in range(5)),
        Conversation(said("q", "a"), [TOOL]),
        Conversation(said("q")),
        Conversation(said("q", "better"), rejected="worse"),
        Conversation([{"role": "assistant", "content": "a document of words"}]),
    ]
    for encoder in (BoundedConversations(bounded), ConversationEncoder(bounded)):
        for mine, others in zip(
            encoder(conversations), ConversationEncoder(own)(conversations), strict=True
        ):
            assert str(mine) == str(others)


def test_a_conversation_that_does_not_end_is_refused_and_the_others_are_encoded(
    endless: Path,
) -> None:
    encode = BoundedConversations(BoundedTokenizer(endless, QUICK))
    contents = ["a", "b", "boom", "c", "d"]

    encoded = encode([Conversation(said(text, "so")) for text in contents])

    assert [isinstance(one, EncodedConversation) for one in encoded] == [
        text != "boom" for text in contents
    ]
    assert "CPU time" in str(encoded[2])


def test_after_three_that_do_not_end_none_is_tried(endless: Path) -> None:
    encode = BoundedConversations(BoundedTokenizer(endless, QUICK))

    with pytest.raises(LimitError, match="CPU time"):
        encode([Conversation(said(f"boom {n}", "so")) for n in range(50)])

    with pytest.raises(LimitError, match="stopped 3 times"):
        encode([Conversation(said("a", "so"))])


@pytest.mark.parametrize("template", [MANY, "{{ 10 ** (10 ** 8) }}"])
def test_a_template_that_never_ends_does_not_load(tmp_path: Path, template: str) -> None:
    make_tiny_llama(tmp_path, chat_template=template)

    with pytest.raises(LimitError, match=r"took more than 0\.3 s of CPU time"):
        BoundedTokenizer(tmp_path, QUICK)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"tokenizer\.json cannot be read"):
        BoundedTokenizer.load(tmp_path)


def test_a_request_whose_process_gets_no_core_for_long_is_answered(good: Path) -> None:
    before = {child.pid for child in psutil.Process().children()}
    bounded = BoundedTokenizer(good, QUICK)
    [own] = [child for child in psutil.Process().children() if child.pid not in before]
    own.suspend()
    again = threading.Timer(12 * QUICK.cpu_seconds, own.resume)
    again.start()
    assert bounded.encode("a")
    again.join()


def test_its_process_goes_with_it(good: Path) -> None:
    before = {child.pid for child in psutil.Process().children()}
    bounded = BoundedTokenizer.load(good)
    [own] = [child for child in psutil.Process().children() if child.pid not in before]
    assert bounded.encode("a")
    del bounded
    assert not own.is_running()
