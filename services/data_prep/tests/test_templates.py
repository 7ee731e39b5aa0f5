"""Templates read columns and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_data_prep.domain.mapping.row_mapping import parse_template
from modelmill_service_kit.errors import InvalidInputError

plain_text = st.text(st.characters(exclude_characters="{}"))


def test_places_are_filled_and_doubled_braces_are_braces() -> None:
    template = parse_template("{{{word}}}: {gloss} {{json}}")

    assert template.columns == ("word", "gloss")
    assert template.fill({"word": "cat", "gloss": "{word}"}) == "{cat}: {word} {json}"


@pytest.mark.parametrize(
    "place", ["word.__class__", "word[0]", "word!r", "word:>10", "0", "__import__('os')", " word "]
)
def test_whatever_stands_in_a_place_is_only_the_name_of_a_column(place: str) -> None:
    template = parse_template(f"{{{place}}}")

    assert template.columns == (place,)
    assert template.fill({place: "value"}) == "value"
    with pytest.raises(KeyError):
        template.fill({"word": "value"})


@pytest.mark.parametrize("text", ["{", "}", "{word", "word}", "{}", "a {b{c} d"])
def test_a_brace_without_its_partner_and_a_nameless_place_are_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_template(text)


def test_every_error_of_a_template_is_listed() -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_template("{} } {word}")

    assert len(caught.value.errors) == 2


@given(st.lists(st.tuples(plain_text, plain_text.filter(bool))), plain_text, st.text())
def test_filling_joins_literals_and_values_and_evaluates_nothing(
    parts: list[tuple[str, str]], end: str, value: str
) -> None:
    text = "".join(f"{literal}{{{column}}}" for literal, column in parts) + end

    filled = parse_template(text).fill({column: value for _, column in parts})

    assert filled == "".join(f"{literal}{value}" for literal, _ in parts) + end


@given(st.text(st.sampled_from("{}ab.[]!:"), max_size=30))
def test_any_text_is_a_template_or_is_refused_as_one(text: str) -> None:
    try:
        template = parse_template(text)
    except InvalidInputError:
        return
    assert template.fill({column: "" for column in template.columns}) == "".join(template.literals)
