"""What the lab's tests share: tiny models, hand-made solutions, and a process to kill.

Run as a script it is that process: it imports torch once and forks for each line it is given, so
that a run can be killed and started again many times within a second.
"""

import os
import random
import select
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from outthink.data import task
from outthink.lab import recipes, tokenizer
from outthink.lab.build import Build, build
from outthink.lab.gpt import GPT, rotate
from outthink.lab.kernels import LANES
from outthink.lab.train import Recipe, language_model
from outthink.types import END, Draw, Problem, Solution

torch.set_num_threads(1)  # the same numbers everywhere, and no waiting for a busy core

TINY = recipes.shape(width=16, layers=2, heads=2)
TINY_VERIFIER = recipes.shape(width=16, layers=2, heads=2, outputs=tokenizer.VOCABULARY + 1)


def random_gpt(shape=TINY, *, seed=0, sharpness=0.4):
    """A model with an opinion on everything, all of it random: no weight is zero, but age 0."""
    torch.manual_seed(seed)
    model = GPT(shape)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("out.weight", "down.weight")):
                weight.normal_(std=0.2)
            elif name == "age.weight":
                weight[1:].normal_(std=0.5)
        model.head.weight.normal_(std=sharpness)
    return model.eval()


def plain_attend(projected, cached, start, turn):
    """`outthink.lab.kernels.attend` as torch does it."""
    rows, new, wide = projected.shape
    heads, depth = cached.shape[1], wide // (3 * cached.shape[1])
    queries, fresh, mixed = projected.view(rows, new, 3, heads, depth).unbind(2)
    keys, values = tokens_of(cached, depth)
    end = start + new
    keys[:, :, start:end] = rotate(fresh, turn).transpose(1, 2)
    values[:, :, start:end] = mixed.transpose(1, 2)
    write_tokens(cached, keys, values)
    scores = rotate(queries, turn).transpose(1, 2) @ keys[:, :, :end].transpose(2, 3)
    ahead = torch.ones(new, end, dtype=torch.bool).triu(start + 1)
    weights = (scores * depth**-0.5).masked_fill(ahead, -torch.inf).softmax(-1)
    return (weights @ values[:, :, :end]).transpose(1, 2).reshape(rows, new, -1)


def _parts(cached, depth):
    """Views of a cache's keys, [B, heads, blocks, LANES, depth], and of its values alike."""
    keys, values = cached[..., : LANES * depth], cached[..., LANES * depth :]
    return (
        keys.unflatten(-1, (depth, LANES)).transpose(-1, -2),
        values.unflatten(-1, (LANES, -1))[..., :depth],
    )


def tokens_of(cached, depth):
    """Copies of keys and values, [B, heads, tokens, depth]."""
    return [part.flatten(2, 3).clone() for part in _parts(cached, depth)]


def write_tokens(cached, keys, values):
    for part, new in zip(_parts(cached, keys.shape[-1]), (keys, values), strict=True):
        part.copy_(new.unflatten(2, (-1, LANES)))


def some_problems(count, seed=0):
    return task.problems(task.Stream.TEST, count, seed)


def solution_of(problem, lines, *, end=True):
    """A solution with these lines (`"*7=84991"`), ended unless told otherwise."""
    tokens, ends = [], []
    for line in lines:
        factor, _, digits = line.partition("=")
        tokens.append(10 + task.FACTORS.index(int(factor[1:])))
        tokens += [tokenizer.EQUALS, *map(int, digits), tokenizer.LINE]
        ends.append(len(tokens))
    if end:
        tokens.append(tokenizer.END)
    whole = tuple(tokens)
    return Solution(
        problem, whole, tuple(ends), end, answer=tokenizer.answer(whole) if end else None
    )


def exact(problem, **options):
    """The exact solution of a problem."""
    lines = [line.strip() for line in task.parse(problem.prompt).lines]
    return solution_of(problem, lines, **options)


def problem_of(prompt):
    return task.parse(prompt).problem()


def draws(problems, each, until=END, temperature=1.0, seed=0):
    """`each` draws of every problem from its start, all of different seeds."""
    return [
        Draw(Solution.start(problem), until, temperature, seed + 1000 * i + j)
        for i, problem in enumerate(problems)
        for j in range(each)
    ]


def twins(problem, count):
    """The same question under other ids."""
    return [Problem(f"{problem.id}-{i}", problem.prompt, problem.reference) for i in range(count)]


# Processes to kill -------------------------------------------------------------------------------

LANGUAGE = Recipe(steps=120, batch=4, rate=1e-2, seed=3, warmup=10)
_SMALL = recipes.shape(width=32, layers=2, heads=2)


def train_language_model(folder):
    trained = language_model(TINY, LANGUAGE, checkpoint=folder / "model.checkpoint", label="tiny")
    torch.save((trained.model.state_dict(), trained.steps, trained.loss), folder / "done")


def train_lab(folder):
    """`outthink lab train` with recipes of a few seconds, in which S is right now and then."""
    recipes.S, recipes.L = _SMALL, TINY
    task.draw = partial(draw_easy, task.draw)
    recipes.S_RECIPE = Recipe(steps=1000, batch=16, rate=1e-2, seed=0, warmup=10)
    recipes.L_RECIPE = Recipe(steps=200, batch=4, rate=1e-2, seed=0, warmup=10)
    recipes.PRM_RECIPE = recipes.ORM_RECIPE = Recipe(
        steps=60, batch=128, rate=3e-3, seed=0, warmup=5, decay=1.0
    )
    recipes.REVISER_RECIPE = recipes.REVISION_RECIPE = recipes.PRM_RECIPE
    recipes.REVISED = recipes.CHAINED = 1
    recipes.SAMPLED, recipes.CHAIN, recipes.CHAINS = 16, 3, 2
    build(Build(folder, problems=8, samples=2, rollouts=2, scale=0.05), lambda said: None)


def draw_easy(draw, *about):
    """Chains that start with 0 or 50000, and so stay there: guessing is right often enough."""
    chains = draw(*about)
    return replace(chains, start=chains.start % 2 * 50000)


class Killed:
    """A process that does one of the above in forks of itself."""

    def __init__(self, work):
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self._child = subprocess.Popen(
            [sys.executable, __file__, work],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=environment,
        )

    def run(self, folder, kill_after_s=None):
        """True if it came to its end, False if it was killed after so many seconds."""
        self._child.stdin.write(f"{folder}\n".encode())
        pid = int(self._line())
        if kill_after_s is not None:
            ended, _, _ = select.select([self._child.stdout], [], [], kill_after_s)
            if not ended:
                os.kill(pid, signal.SIGKILL)
        status = int(self._line())
        assert status in (0, -signal.SIGKILL), "it failed: see standard error"
        return status == 0

    def run_through(self, folder, *, kills, longest_s, seed):
        """Kill it up to `kills` times at random moments, then let it end; how often it was hit."""
        rng = random.Random(seed)
        for kill in range(kills):
            if self.run(folder, rng.uniform(0.01, longest_s)):
                return kill
        assert self.run(folder)
        return kills

    def _line(self):
        line = b""
        while not line.endswith(b"\n"):
            byte = self._child.stdout.read(1)
            assert byte, "the process to kill is gone: see standard error"
            line += byte
        return line

    def close(self):
        with self._child:
            self._child.stdin.close()


@contextmanager
def killable(work):
    process = Killed(work)
    try:
        yield process
    finally:
        process.close()


def serve(work):
    # The first optimizer imports it, for longer than a run lives: once here, not in every fork.
    import torch._dynamo  # noqa: F401

    from outthink.train import loop

    loop.CHECKPOINT_S = 0.0
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                {"language_model": train_language_model, "lab": train_lab}[work](
                    Path(line.removesuffix("\n"))
                )
                status = 0
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(status)
        os.write(1, b"%d\n" % pid)
        _, status = os.waitpid(pid, 0)
        os.write(1, b"%d\n" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    serve(sys.argv[1])
