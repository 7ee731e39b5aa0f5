"""What the engine's process takes for a grammar."""

import pytest
from inference.children.grammar_check import check_grammar


@pytest.mark.parametrize(
    "text",
    [
        'root ::= "a"',
        'root ::= [0-9] [0-9] "-" [0-9]{1,3} ([^a-z]* | word)?\nword ::= "\\U0001f600" "b"{2,}\n',
        'root ::= ("" | "\\"" "\\\\")\n',
        "root ::= [\\U00000020-\\U0010ffff]+",
    ],
)
def test_what_is_written_for_engines_passes(text: str) -> None:
    check_grammar(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "root ::= ",
        "root ::= undefined",
        'x ::= "a"',
        "root ::= [",
        "root ::= [b-a]",
        "root ::= []",
        'root ::= "a"{5,2}',
        'root ::= "a"**',
        "root ::= (root",
        "root ::= root)",
        'root ::= | "a"',
        'root ::= "a" |',
        'root ::= *"a"',
        'root ::= "a"\nroot ::= "b"',
        'root ::= "unclosed',
        'root ::= "\\Uffffffff"',
        'root ::= "\\ud800"',
        'root ::= "\\q"',
        "root ::= " + "(" * 1000 + '"a"' + ")" * 1000,
        "root ::= \0",
    ],
)
def test_what_a_pipeline_would_stumble_over_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"grammar|repeats|range|character"):
        check_grammar(text)
