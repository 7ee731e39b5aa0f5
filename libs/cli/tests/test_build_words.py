"""What a person reads of a build."""

from typing import Any

import pytest
from modelmill_cli.job_words import result_facts


@pytest.mark.parametrize(("drafted", "words"), [(4.0, "on, 1.40"), (0.0, "off, would be 1.40")])
def test_a_build_says_whether_it_drafts_and_what_that_gave(drafted: float, words: str) -> None:
    summary = {f"prompt_lookup_speedup{end}": it for end, it in (("_low", 1.2), ("_high", 1.6))}
    summary |= {"prompt_lookup_speedup": 1.4, "prompt_lookup_num_tokens": drafted}
    result = {"version_id": "mv-1", "summary": summary}
    job: Any = {"kind": "optimize", "spec": {"target_form": "openvino-int8"}, "result": result}

    told = dict(result_facts(job))

    assert told["prompt lookup"] == f"{words} times as fast (1.20 to 1.60)"
