"""Exported models without Modelmill: what they answer, beside what the gateway answers.

A version is exported by `mill models export`. A process in which no module of Modelmill can be
imported loads the folder with the libraries of its form alone, and answers the same questions
greedily. In torch it does so in float32, as the gateway computes on a processor, and in the dtype
that the folder names.
"""

import json
import shlex
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.frontdoor_journey import Journey

MOST_TOKENS = 8
BARE = """\
import json, sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0].startswith("modelmill"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotInstalled())
folder, form, questions, most = json.load(sys.stdin)
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(folder)

def openvino(_):
    from openvino_genai import LLMPipeline

    pipeline = LLMPipeline(folder, "CPU")
    settings = {"max_new_tokens": most, "do_sample": False, "apply_chat_template": False}
    return lambda prompt: pipeline.generate(prompt, **settings)

def torch(dtype):
    base = f"{folder}/base" if form == "adapter" else folder
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    if form == "adapter":
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, folder)
    model.eval()

    def answer(prompt):
        ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
        made = model.generate(**ids, max_new_tokens=most, do_sample=False)
        return tokenizer.decode(made[0][ids["input_ids"].shape[1] :], skip_special_tokens=True)

    return answer

answers = {}
for dtype in ("float32", "auto"):
    answer = (openvino if form.startswith("openvino") else torch)(dtype)
    answers[dtype] = []
    for each in questions:
        asked = [{"role": "user", "content": each}]
        prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
        answers[dtype].append(answer(prompt).strip())
json.dump(answers, sys.stdout)
"""


@dataclass(frozen=True)
class Exported:
    """A version in one form, and how many of its answers were the gateway's."""

    form: str
    equal: int
    equal_as_stored: int
    """Where it is loaded without a dtype."""
    asked: int


def exported(journey: Journey, address: str, questions: Sequence[str]) -> list[Exported]:
    """Of each version of the installation, which must be up."""
    token = journey.run("mill token").strip()
    listed = map(json.loads, journey.run("mill models list --json").splitlines())
    versions = [model for model in listed if "form" in model]  # without aliases
    return [_compared(journey, address, token, each, questions) for each in versions]


def _compared(
    journey: Journey, address: str, token: str, model: dict[str, str], questions: Sequence[str]
) -> Exported:
    version_id, form = model["id"], model["form"]
    folder = journey.folder / "exported" / version_id
    folder.parent.mkdir(exist_ok=True)
    journey.run(f"mill models export {version_id} {folder}")
    asked = json.dumps([str(folder), form, list(questions), MOST_TOKENS])
    bare = journey.run(f"python -c {shlex.quote(BARE)} <<< {shlex.quote(asked)}")
    answers: dict[str, list[str]] = json.loads(bare.splitlines()[-1])
    served = [_served(address, token, version_id, each) for each in questions]
    equal = {
        dtype: sum(one == other for one, other in zip(found, served, strict=True))
        for dtype, found in answers.items()
    }
    return Exported(form, equal["float32"], equal["auto"], len(questions))


def _served(address: str, token: str, model: str, question: str) -> str:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": MOST_TOKENS,
        "temperature": 0,
    }
    request = urllib.request.Request(
        f"{address}/v1/chat/completions",
        json.dumps(body).encode(),
        {"authorization": f"Bearer {token}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return str(json.load(answer)["choices"][0]["message"]["content"]).strip()
