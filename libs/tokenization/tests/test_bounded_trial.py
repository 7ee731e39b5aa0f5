"""A model comes in only if its chat template and tokenizer work within limits."""

from pathlib import Path

import pytest
from modelmill_service_kit.errors import InvalidInputError
from modelmill_testkit.hostile_models import HOSTILE
from modelmill_testkit.models import make_tiny_llama
from modelmill_testkit.tool_templates import FAMILIES
from modelmill_tokenization.bounded import Limits
from modelmill_tokenization.bounded.here import try_tokenizer

pytestmark = [pytest.mark.tier("test"), pytest.mark.real_starts]

LIMITS = Limits(cpu_seconds=0.5)
AT_ONCE = {name: make for name, make in HOSTILE.items() if "sleep" not in name}
"""Those that need no message of their own; some expressions only fail on rare texts."""
SOME_TEXT = {"tokenizer: split backtracks", "tokenizer: normalizer backtracks"}
REFUSES_SYSTEMS = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{% for m in messages %}{{ m.content }}{% endfor %}"
)


@pytest.mark.parametrize("name", sorted(AT_ONCE.keys() - SOME_TEXT))
def test_what_does_not_end_does_not_come_in(name: str, tmp_path: Path) -> None:
    AT_ONCE[name](tmp_path)

    with pytest.raises(InvalidInputError, match="the chat template or tokenizer") as refused:
        try_tokenizer(tmp_path, LIMITS)

    assert len(refused.value.errors) == 1
    assert "\n" not in refused.value.message


@pytest.mark.parametrize("template", [*FAMILIES, REFUSES_SYSTEMS])
def test_templates_of_good_models_come_in(template: str, tmp_path: Path) -> None:
    try_tokenizer(make_tiny_llama(tmp_path, chat_template=FAMILIES.get(template, template)))


def test_a_model_without_a_template_comes_in(tmp_path: Path) -> None:
    (make_tiny_llama(tmp_path) / "chat_template.jinja").unlink()

    try_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ raise_exception('never') }}", "never"),
        ("{{ messages.nothing.at_all }}", "conversation of one turn"),
    ],
)
def test_a_template_that_takes_nothing_does_not_come_in(
    template: str, why: str, tmp_path: Path
) -> None:
    make_tiny_llama(tmp_path, chat_template=template)

    with pytest.raises(InvalidInputError, match=why):
        try_tokenizer(tmp_path)
