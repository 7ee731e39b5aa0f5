"""A GGUF file as a model folder: a process of its own, started by `mill models import`.

    python -m modelmill_trainer.convert_gguf FILE.gguf FOLDER

transformers dequantises the weights to bf16 and rebuilds the tokenizer from the file's vocabulary.
What it rebuilds may be corrupt and look sound, so it must give back every text of
`modelmill_tokenization.round_trips`. The last line on stdout is JSON: what is wrong, or nothing.
"""

import json
import sys
from pathlib import Path

from modelmill_tokenization.round_trips import first_difference

SHOWN_CHARACTERS = 60


def convert(file: Path, folder: Path) -> str:
    """Write the folder; what is wrong with the file, empty for nothing."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    except Exception as error:  # whatever it meets in a file of others
        return f"transformers does not read its tokenizer: {_said(error)}"
    tokenizer.save_pretrained(folder)
    if problem := tokenizer_problem(folder):
        return problem
    try:
        model = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=torch.bfloat16
        )
    except Exception as error:
        return f"transformers does not read its weights: {_said(error)}"
    model.save_pretrained(folder)
    return ""


def tokenizer_problem(folder: Path) -> str:
    """Which text the saved tokenizer does not give back; empty for none."""
    from tokenizers import Tokenizer

    file = folder / "tokenizer.json"
    if not file.is_file():
        return "transformers makes no tokenizer.json of it"
    tokenizer = Tokenizer.from_file(str(file))
    found = first_difference(
        lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
        lambda ids: str(tokenizer.decode(list(ids), skip_special_tokens=False)),
    )
    if found is None:
        return ""
    text, back = (each[:SHOWN_CHARACTERS] for each in found)
    return (
        f"the tokenizer that transformers makes of it turns {text!r} into {back!r}. Import the"
        " model that it was made from, as safetensors"
    )


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]


if __name__ == "__main__":
    print(json.dumps({"problem": convert(Path(sys.argv[1]), Path(sys.argv[2]))}))
