"""What the engine's process takes for a grammar."""

import pytest
from modelmill_inference.children.grammar_check import check_grammar


@pytest.mark.parametrize(
    "text",
    [
        'root ::= "a"',
        'root ::= [0-9] [0-9] "-" [0-9]{1,3} ([^a-z]* | word)?\nword ::= "\\U0001f600" "b"{2,}\n',
        'root ::= ("" | "\\"" "\\\\")\n',
        "root ::= [\\U00000020-\\U0010ffff]+",
        'root ::= "é" "a" "\\U00004ef7a" "\\U000000e9g"',
        "root ::= [a-z\\U000000e9-\\U00004ef7]",
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
        'root ::= "\\["',
        'root ::= "\0"',
        "root ::= [\0]",
        "root ::= [éa-z]",
        'root ::= "éa"',
        'root ::= "\\U000000e9a"',
        "root ::= [\\U000000e9a-z]",
        'root ::= "a"{1,9999999999999999999}',
        'true ::= "a"\nroot ::= "b"',
        "root ::= " + "(" * 1000 + '"a"' + ")" * 1000,
        "root ::= \0",
    ],
)
def test_what_a_pipeline_would_stumble_over_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"grammar|repeats|range|character"):
        check_grammar(text)
