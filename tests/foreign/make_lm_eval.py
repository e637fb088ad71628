"""Writes `lm_eval_once.jsonl` and `lm_eval_repeats.jsonl` with lm-eval itself, against a scripted
chat server.

Needs lm-eval[api]; run in an environment of its own: python make_lm_eval.py FOLDER
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

TASK = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
output_type: generate_until
test_split: test
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
repeats: {repeats}
generation_kwargs: {{until: ["Q:"], do_sample: true, temperature: 0.7}}
filter_list:
  - name: strict
    filter:
      - {{function: regex, regex_pattern: "#### (-?[0-9]+)"}}
      {take}
  - name: flexible
    filter:
      - {{function: regex, regex_pattern: "(-?[0-9]+)", group_select: -1}}
      {take}
metric_list:
  - {{metric: exact_match, ignore_case: true, regexes_to_ignore: ["(?s).*#### "]}}
"""
NUMBER = count()


class Scripted(BaseHTTPRequestHandler):
    """Right one time out of three, and one answer in four is not marked as one."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = asked["messages"][-1]["content"]
        half, number = int(prompt.split()[2]), next(NUMBER)
        said = 2 * half if number % 3 == 0 else half + 1
        text = f"I add.\n#### {said}" if number % 4 else f"It is {said}."
        body = {
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16},
        }
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


def main(folder):
    from lm_eval import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    data = folder / "sums.jsonl"
    data.write_text(
        "\n".join(
            json.dumps({"question": f"What is {n} + {n}?", "answer": f"I add.\n#### {2 * n}"})
            for n in range(6)
        )
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, repeats in (("once", 1), ("repeats", 3)):
        take = (
            "- {function: take_first}"
            if repeats == 1
            else "- {function: majority_vote}\n      - {function: take_first}"
        )
        (folder / f"{name}.yaml").write_text(
            TASK.format(name=name, data=data, repeats=repeats, take=take)
        )
        results = simple_evaluate(
            model="local-chat-completions",
            model_args={
                "model": "scripted",
                "base_url": f"http://127.0.0.1:{server.server_port}/v1/chat/completions",
                "num_concurrent": 1,
            },
            tasks=[name],
            task_manager=TaskManager(include_path=str(folder), include_defaults=False),
            log_samples=True,
            apply_chat_template=True,
            bootstrap_iters=0,
        )
        tracker = EvaluationTracker(output_path=str(folder / name))
        tracker.save_results_aggregated(results, results["samples"])
        tracker.save_results_samples(name, results["samples"][name])
        written = next((folder / name).rglob("samples_*.jsonl"))
        written.replace(folder / f"lm_eval_{name}.jsonl")


main(Path(sys.argv[1]))
