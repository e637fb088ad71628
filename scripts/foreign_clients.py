"""Whether clients that others wrote get the sweep's scores from the gateway.

    pip install 'outthink[serve,lab]' 'lm-eval[api]' inspect_ai langchain-openai
    python scripts/foreign_clients.py --problems 'lab:test?size=40&seed=4'

The problems are swept by a search that runs live, then asked of a gateway of the same seed by
lm-eval (local-chat-completions), inspect_ai (openai-api) and LangChain (ChatOpenAI), each with the
parameters that it always sends. A client is right where the answer that it reads from the text is
the reference; its verdicts have to be the sweep's, problem by problem. Nothing is downloaded.
"""

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from outthink.data import source
from outthink.run.store import Store

LAST = r"(\d+)(?=\D*$)"
"""What is read of a text: its last number."""
AT_ONCE = 8


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--problems", default="lab:test?size=40&seed=4")
    words.add_argument("--strategy", default="beam(width=2)")
    words.add_argument("--budget", type=int, default=8)
    words.add_argument("--seed", type=int, default=1234, help="of sweep, gateway and clients")
    words.add_argument("--json", action="store_true")
    told = words.parse_args()
    outcome = measured(told)
    if told.json:
        print(json.dumps(outcome, indent=1))
    else:
        print(f"{outcome['problems']} problems, {outcome['model']}, seed {outcome['seed']}")
        for name, one in outcome["clients"].items():
            differs = f"differs from the sweep on {one['differ']}"
            print(f"{name:10}  accuracy {one['accuracy']:.4f}  {differs}")
    return 1 if any(one["differ"] for one in outcome["clients"].values()) else 0


def measured(told):
    problems = list(source.read(told.problems))
    with tempfile.TemporaryDirectory() as place:
        swept = sweep(told, Path(place) / "sweep.store")
        serving = [*("--seed", str(told.seed)), *("--waiting", str(len(problems)))]
        ignored = [word for name in ("temperature", "stop") for word in ("--ignore", name)]
        with gateway([*serving, *ignored]) as (url, served):
            model = f"{served}:{told.strategy}@{told.budget}"
            asked = partial(dict, url=url, model=model, seed=told.seed, place=Path(place))
            seen = {
                name: client(problems, **asked())
                for name, client in {
                    "lm-eval": by_lm_eval,
                    "inspect_ai": by_inspect,
                    "langchain": by_langchain,
                }.items()
            }
    clients = {"sweep": swept, **seen}
    return {
        "problems": len(problems),
        "model": model,
        "seed": told.seed,
        "clients": {
            name: {
                "accuracy": sum(right.values()) / len(problems),
                "differ": sum(right[one.id] != swept[one.id] for one in problems),
            }
            for name, right in clients.items()
        },
    }


def outthink(*words):
    return [sys.executable, "-m", "outthink", *words]


def sweep(told, store):
    """By problem, whether the search's answer is right."""
    how = [*("--strategies", told.strategy), *("--budgets", str(told.budget))]
    command = outthink("sweep", told.problems, "-o", str(store), *how, "--seed", str(told.seed))
    subprocess.run(command, check=True, stdout=sys.stderr)
    with Store.open(store, write=False) as opened:
        outcomes = list(opened.view().outcomes())
    asked = [one for one in outcomes if (one.strategy, one.budget) == (told.strategy, told.budget)]
    return {one.problem_id: bool(one.right) for one in asked}


@contextlib.contextmanager
def gateway(words):
    """The address of a gateway, and the name of its model."""
    command = outthink("serve", "--port", "0", "--json", *words)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            told = json.loads(process.stdout.readline())
            yield told["url"], told["model"]
        finally:
            process.terminate()


def by_lm_eval(problems, *, url, model, seed, place):
    import lm_eval

    os.environ |= {"HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "OPENAI_API_KEY": "none"}
    rows = place / "problems.jsonl"
    rows.write_text(
        "".join(
            json.dumps({"id": one.id, "prompt": one.prompt, "reference": one.reference}) + "\n"
            for one in problems
        )
    )
    task = {
        "task": "outthink_lab",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(rows)}, "cache_dir": str(place / "cache")},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "{{reference}}",
        "generation_kwargs": {"until": ["\n\n"], "max_gen_toks": 256},
        "filter_list": [
            {
                "name": "last",
                "filter": [
                    {"function": "regex", "regex_pattern": LAST, "group_select": -1},
                    {"function": "take_first"},
                ],
            }
        ],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }
    outcome = lm_eval.simple_evaluate(
        model="local-chat-completions",
        model_args={
            "model": model,
            "base_url": f"{url}/v1/chat/completions",
            "num_concurrent": AT_ONCE,
            "seed": seed,
            "tokenizer_backend": None,
        },
        tasks=[task],
        apply_chat_template=True,
        log_samples=True,
        bootstrap_iters=0,
    )
    samples = outcome["samples"]["outthink_lab"]
    return {one["doc"]["id"]: bool(one["exact_match"] == 1) for one in samples}


def by_inspect(problems, *, url, model, seed, place):
    from inspect_ai import Task
    from inspect_ai import eval as evaluate
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import get_model
    from inspect_ai.scorer import pattern
    from inspect_ai.solver import generate

    samples = [Sample(input=one.prompt, target=one.reference, id=one.id) for one in problems]
    task = Task(dataset=MemoryDataset(samples), solver=generate(), scorer=pattern(LAST))
    asked = get_model(
        f"openai-api/gateway/{model}", base_url=f"{url}/v1", api_key="none", memoize=False
    )
    [log] = evaluate(
        task,
        model=asked,
        seed=seed,
        temperature=0,
        max_tokens=256,
        max_connections=AT_ONCE,
        log_dir=str(place / "logs"),
        display="none",
    )
    if log.status != "success":
        raise SystemExit(f"inspect_ai: {log.error}")
    return {str(one.id): one.scores["pattern"].value == "C" for one in log.samples}


def by_langchain(problems, *, url, model, seed, place):
    from langchain_openai import ChatOpenAI

    asked = ChatOpenAI(
        base_url=f"{url}/v1", api_key="none", model=model, seed=seed, temperature=0, max_tokens=256
    )
    texts = asked.batch([one.prompt for one in problems], {"max_concurrency": AT_ONCE})
    return {
        one.id: re.findall(LAST, said.content)[-1:] == [one.reference]
        for one, said in zip(problems, texts, strict=True)
    }


if __name__ == "__main__":
    sys.exit(main())
