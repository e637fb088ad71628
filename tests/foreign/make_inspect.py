"""Writes `inspect.eval` and `inspect.json` with inspect_ai itself, against its scripted model.

Needs inspect_ai; run in an environment of its own: python make_inspect.py FOLDER
"""

import sys
from pathlib import Path

from inspect_ai import Task, eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import write_eval_log
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessageAssistant,
    ContentReasoning,
    ContentText,
    ModelOutput,
    ModelUsage,
    get_model,
)
from inspect_ai.scorer import answer, match
from inspect_ai.solver import generate

PROBLEMS = [Sample(id=f"sum-{n}", input=f"What is {n} + {n}?", target=str(2 * n)) for n in range(4)]
EPOCHS = 3


def reply(number):
    """One in three is right, one in seven is cut off, one in five was thought about."""
    problem = number // EPOCHS
    said = str(2 * problem if number % 3 else problem + 1)
    text = f"Let me add.\n\nANSWER: {said}" if number % 7 else "Let me add"
    parts = [ContentReasoning(reasoning="Hm, twice.")] if number % 5 == 0 else []
    return ModelOutput(
        model="mockllm/model",
        choices=[
            ChatCompletionChoice(
                message=ChatMessageAssistant(content=[*parts, ContentText(text=text)]),
                stop_reason="stop" if number % 7 else "max_tokens",
            )
        ],
        usage=ModelUsage(
            input_tokens=9,
            output_tokens=10 + number,
            total_tokens=19 + number,
            reasoning_tokens=3 if parts else None,
        ),
    )


def main(folder):
    model = get_model(
        "mockllm/model", custom_outputs=[reply(n) for n in range(len(PROBLEMS) * EPOCHS)]
    )
    task = Task(
        dataset=MemoryDataset(PROBLEMS),
        solver=generate(),
        scorer=[match(location="end"), answer("line")],
        epochs=EPOCHS,
        name="sums",
    )
    log = eval(
        task, model=model, max_samples=1, max_connections=1, log_dir=str(folder), display="none"
    )[0]
    for ending in ("eval", "json"):
        write_eval_log(log, str(folder / f"inspect.{ending}"), format=ending)


main(Path(sys.argv[1]))
