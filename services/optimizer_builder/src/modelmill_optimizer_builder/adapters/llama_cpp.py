"""Verifies a GGUF file on its own runtime, llama.cpp, where `xllamacpp` is installed.

It runs in a bounded process: what it makes of a file is not ours to bound from within.
"""

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from modelmill_evaluation.parity.comparison import Limit, check_special_tokens
from modelmill_evaluation.parity.goldens import GREEDY_DISAGREES, Goldens, ParityError
from modelmill_tokenization.bounded.call import CallLimits, bounded_call

if TYPE_CHECKING:  # The bounded process imports this module, and needs no torch.
    from modelmill_optimizer_builder.adapters.golden_check import GoldenCheck

PACKAGE = "xllamacpp"
REQUEST_SECONDS = 600.0
SECONDS = 3600.0
LIBRARY_BYTES = 6 << 30


def is_installed() -> bool:
    """Whether the library with llama.cpp in it is."""
    return find_spec(PACKAGE) is not None


def check_on_llama_cpp(
    path: Path, goldens: "GoldenCheck", limit: Limit, *, form: str
) -> Mapping[str, Any]:
    """Accept a file with which llama.cpp reads and answers the golden prompts as training did.

    Returns:
        A record for the manifest.

    Raises:
        ParityError: SPECIAL_TOKEN_MISSING or GREEDY_DISAGREES.
        InvalidInputError: llama.cpp does not load the file; says why.
        LimitError: That exceeded a time or memory limit.
    """
    asked = goldens.goldens
    texts = [*asked.special_tokens, *(golden.text for golden in asked.prompts)]
    prompts, continuations = ([*map(list, part)] for part in asked.spoken)
    plain = [golden for golden in asked.prompts if not golden.tools]
    given = {
        "file": str(path),
        "texts": texts,
        "prompts": prompts,
        "continuations": continuations,
        "conversations": [list(golden.messages) for golden in plain],
    }
    memory = LIBRARY_BYTES + 2 * path.stat().st_size
    limits = CallLimits(cpu_seconds=SECONDS, seconds=SECONDS, memory_bytes=memory)
    said = bounded_call(f"{__name__}:answers", given, limits)
    encode = dict(zip(texts, said["ids"], strict=True)).__getitem__
    check_special_tokens(asked, encode, form=f"llama.cpp's tokenizer of {form}")
    goldens.count_prompts(encode)
    agreement = _agreement(asked, said["tokens"], limit, form=form)
    pairs = zip(said["rendered"], plain, strict=True)
    return {
        "name": f"llama.cpp, {PACKAGE} {version(PACKAGE)}",
        "greedy_agreement": agreement,
        "prompts_rendered_alike": sum(text == golden.text for text, golden in pairs),
    }


def _agreement(
    goldens: Goldens, answered: Sequence[Sequence[int]], limit: Limit, *, form: str
) -> float:
    """Share of golden positions at which the likeliest token is training's."""
    chosen = [
        token == wanted
        for golden, tokens in zip(goldens.prompts, answered, strict=True)
        for token, wanted in zip(tokens, golden.greedy.tolist(), strict=True)
    ]
    agreement = sum(chosen) / len(chosen) if chosen else 1.0
    if agreement < limit.greedy_agreement:
        raise ParityError(
            GREEDY_DISAGREES,
            f"{form}, run by llama.cpp, chooses training's token at {agreement:.1%} of "
            f"{len(chosen)} golden positions, less than {limit.greedy_agreement:.0%}",
        )
    return agreement


def answers(given: Mapping[str, Any]) -> dict[str, Any]:
    """Token ids of texts, the likeliest token at each place of continuations, and renderings."""
    import xllamacpp

    params: Any = xllamacpp.CommonParams()
    params.model.path = given["file"]
    spoken = [*zip(given["prompts"], given["continuations"], strict=True)]
    params.n_ctx = max((len(prompt) + len(text) for prompt, text in spoken), default=0) + 64
    params.n_parallel = 1
    server = xllamacpp.Server(params)

    def ask(path: str, body: Mapping[str, Any]) -> Any:
        request = Request(f"{server.listening_address}{path}", json.dumps(body).encode())
        with urlopen(request, timeout=REQUEST_SECONDS) as answer:
            return json.load(answer)

    def rendered(turns: list[Any]) -> str | None:
        """As its chat template does; None where that refuses."""
        try:
            return str(ask("/apply-template", {"messages": turns})["prompt"])
        except HTTPError:
            return None

    def next_token(ids: list[int]) -> int:
        body = {"prompt": ids, "n_predict": 1, "temperature": 0, "return_tokens": True}
        token: int = ask("/completion", body)["tokens"][0]
        return token

    return {
        "rendered": [rendered(turns) for turns in given["conversations"]],
        "ids": [
            ask("/tokenize", {"content": text, "add_special": False})["tokens"]
            for text in given["texts"]
        ],
        "tokens": [
            [next_token([*prompt, *text[:place]]) for place in range(len(text))]
            for prompt, text in spoken
        ],
    }
