"""Programs judged by tests: what is right passes, and nothing passes by a trick."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outthink.errors import RunError, UsageError
from outthink.grade import code, sandbox
from outthink.grade.sandbox import Limits

WHY_NOT = sandbox.why_not()
boxed = pytest.mark.skipif(WHY_NOT is not None, reason=f"no sandbox here: {WHY_NOT}")

PATIENT = Limits(cpu_s=5, wall_s=30.0)
QUICK = Limits(cpu_s=1, wall_s=2.0)
"""For what is not going to pass however long it takes."""
SQUARE = code.Suite(("assert square(2) == 4", "assert square(3) == 9"))
RIGHT = "def square(x):\n    return x * x"

# In HumanEval's layout.
PROMPT = '''from typing import List


def double(value: int) -> int:
    """ Twice the value. """
    return 2 * value


def doubled(values: List[int]) -> List[int]:
    """ Double every value.
    >>> doubled([1, 2])
    [2, 4]
    """
'''
TEST = """
METADATA = {"author": "nobody"}

def check(candidate):
    assert candidate([]) == []
    assert candidate([1, 2]) == [double(1), 4]
"""
HUMANEVAL = code.humaneval(PROMPT, TEST, "doubled")


def passes(program, tests=SQUARE, limits=PATIENT):
    return code.attempt(program, tests, limits=limits).passed


@boxed
def test_a_right_program_passes_and_a_wrong_one_does_not():
    assert code.grade(RIGHT, SQUARE.dump())
    assert not code.grade("def square(x):\n    return x + x", SQUARE.dump())


@boxed
@pytest.mark.parametrize(
    "answer",
    [
        "    return [double(value) for value in values]\n",
        "return [double(value) for value in values]",
        PROMPT + "    return [double(value) for value in values]\n",
        "def doubled(values: List[int]) -> List[int]:\n    return [double(v) for v in values]",
        "doubled = lambda values: [2 * value for value in values]",
    ],
)
def test_an_answer_may_continue_the_prompt_or_stand_alone(answer):
    assert passes(answer, HUMANEVAL)


@boxed
@pytest.mark.parametrize(
    "answer", ["", "    pass", "    return values", "    return [0, 4]", "return (", "# no"]
)
def test_a_wrong_continuation_fails(answer):
    assert not passes(answer, HUMANEVAL)


@boxed
def test_mbpp_has_imports_setup_and_a_list_of_tests():
    tests = code.mbpp(
        ["assert area(1) == tau / 2", "assert Box(2).size() == TWO"],
        "TWO = 2",
        ["from math import tau"],
    )
    program = "from math import pi\ndef area(r): return pi * r * r\n"
    box = """
class Box:
    def __init__(self, size): self._size = size
    def size(self): return self._size
"""
    assert passes(program + box, tests)
    assert not passes(program, tests)


NODE = """
class Node:
    def __init__(self, value): self.value, self.next = value, None
def f(node): return node.next.value
"""
KINDS = "(1, [1], {1: {1}}, None, 1.5, 'a', 2 ** 80)"


@boxed
@pytest.mark.parametrize(
    ("program", "test"),
    [
        (f"def f(): return {KINDS}", f"assert f() == {KINDS}"),
        (
            "from collections import Counter\ndef f(x): return Counter(x)",
            "assert f('aab') == {'a': 2, 'b': 1}",
        ),
        ("def f(x): return map(str, x)", "assert list(f([1, 2])) == ['1', '2']"),
        ("def f(x): x.sort()", "xs = [2, 1]; f(xs); assert xs == [1, 2]"),
        (
            "def f(x): raise ValueError('no')",
            "try:\n    f(1)\n    assert False\nexcept ValueError: pass",
        ),
        ("def f(x, *, y=0): return x + y", "assert f(1, y=2) == 3"),
        ("def f(x): return isinstance(x, int)", "assert f(True) and not f(1.0)"),
        ("def f(x, kind): return isinstance(x, kind)", "assert f(1, int)"),
        ("def f(x): return float('nan')", "assert f(1) != f(1)"),
        (NODE, "root = Node(1); root.next = Node(2); assert f(root) == 2"),
        ("import math\ndef f(x): return x", "assert math.isclose(f(0.1) + 0.2, 0.3)"),
    ],
)
def test_values_and_objects_reach_the_tests(program, test):
    assert code.attempt(program, code.Suite((test,)), limits=PATIENT) == code.Trial(True, "")


ANY = "    def __eq__(self, other): return True\ndef square(x): return "
WRITES = """
import os
for number in range(3, 20):
    try: os.write(number, b'{"passed": true}\\n')
    except OSError: pass
def square(x): return 0
"""
CHEATS = {
    "ends before the tests": "import os; os._exit(0)",
    "leaves quietly": "raise SystemExit(0)",
    "leaves when called": "def square(x):\n    import os; os._exit(0)",
    "is equal to everything": f"class Any:\n{ANY}Any()",
    "is a number equal to everything": f"class Any(int):\n{ANY}Any(7)",
    "replaces AssertionError": "import builtins\nbuiltins.AssertionError = Warning\n"
    "def square(x): return 0",
    "raises an AssertionError": "def square(x): assert False",
    "answers in the tester's place": WRITES,
    "prints the verdict": "print('{\"passed\": true}', flush=True)\ndef square(x): return 0",
    "kills the tester": "import os\ndef square(x): os.kill(os.getppid(), 9)",
    "rewrites the tester": "open('/box/main.py', 'w').write('print(1)')\ndef square(x): return 0",
    "reads the tests": "import sys\ndef square(x): return eval(sys.stdin.read() or '0')",
    "looks up the stack": "import sys\ndef square(x): return sys._getframe(5).f_locals['test']",
    "never returns": "def square(x):\n    while True: pass",
    "never starts": "while True: pass",
    "sleeps": "import time\ndef square(x): time.sleep(1000)",
    "returns too much": "def square(x): return 'x' * 10 ** 9",
    "returns without end": "def square(x):\n    while True: yield x",
    "is nested without end": "def square(x):\n    a = []\n    a.append(a)\n    return a",
    "calls itself": "def square(x): return square(x)",
    "is no program": "def square(x:",
    "is empty": "",
    "defines another function": "def cube(x): return x * x",
    "reads a file": "def square(x): return open('/etc/passwd').read()",
}


@boxed
@pytest.mark.parametrize("program", CHEATS.values(), ids=CHEATS)
def test_nothing_passes_by_a_trick(program):
    assert not passes(program, limits=QUICK)


@boxed
def test_tests_that_print_and_programs_that_print_are_heard_by_nobody():
    assert passes(
        "print('x' * 10 ** 7)\ndef square(x):\n    print('y' * 10 ** 7)\n    return x * x"
    )
    assert passes(RIGHT, code.Suite(("print('z'); assert square(2) == 4",)))


@boxed
def test_no_tests_passed_is_not_passed():
    assert not passes(RIGHT, code.Suite(("raise SystemExit(0)",)))
    assert "SystemExit" in code.attempt(RIGHT, code.Suite(("raise SystemExit(0)",))).why


POWER = ("assert pow(2, 3) == 8", "assert pow(3, 2) == 9")
COMMON = (
    "def sum(a, b):\n    return len([d for d in range(1, min(a, b) + 1) if a % d == b % d == 0])"
)


@boxed
@pytest.mark.parametrize(
    ("program", "tests", "right"),
    [
        ("def pow(a, b): return 0", POWER, False),
        ("def pow(a, b): return a ** b", POWER, True),
        ("", POWER, False),
        ("x = 1", POWER, False),
        ("def power(a, b): return a ** b", POWER, False),
        ("from math import pow", POWER, True),
        (COMMON, ("assert sum(10, 15) == 2", "assert sum(4, 6) == 2"), True),
        (COMMON, ("assert sum(10, 15) == 3",), False),
        ("def max(values): return values[0]", ("assert max([1, 2]) == 2",), False),
        ("def sorted(values): return values", ("assert sorted([2, 1]) == [1, 2]",), False),
        ("def pow(a, b): return 0", ("assert abs(pow(2, 3) - 8) < 1e-6",), False),
        ("def pow(a, b): return 8.0", ("assert abs(pow(2, 3) - 8) < 1e-6",), True),
        ("def sum(n): return len(n)", ("assert sum(list(range(3))) == 3",), True),
        ("def round(x): return 3", ("import math\nassert math.isclose(round(2.9), 3)",), True),
        ("def set(x): return 7", ("assert set(1) == 7",), True),
        ("class set: pass", ("TWO = 2", "assert set([1, TWO]) == {1, 2}"), False),
    ],
)
def test_a_function_under_test_is_the_programs_even_where_python_has_one(program, tests, right):
    assert passes(program, code.Suite(tests)) is right


@boxed
@pytest.mark.parametrize(
    "theirs",
    [
        "def abs(x): return 0",
        "def round(*x): return 0",
        "def len(x): return 4",
        "abs = len = sorted = lambda *x: 0",
        "class set(object):\n    def __eq__(self, other): return True",
    ],
)
@pytest.mark.parametrize(
    "test",
    [
        "assert abs(square(2) - 4) < 1",
        "assert round(square(2)) == round(4)",
        "assert len([square(2)] * square(2)) == 4",
        "assert set([square(2)]) == set([4])",
    ],
)
def test_what_tests_call_beside_it_is_pythons_own(theirs, test):
    assert not passes(f"{theirs}\ndef square(x): return 7", code.Suite((test,)))
    assert passes(f"{theirs}\ndef square(x): return x * x", code.Suite((test,)))


@boxed
def test_an_entry_point_is_the_programs_whatever_else_tests_call():
    check = (
        "def check(candidate):\n    assert candidate(2, 3) == helper(8)\ndef helper(x): return x"
    )
    suite = code.humaneval('def pow(a, b):\n    """ a to the b. """\n', check, "pow")
    assert passes("    return a ** b\n", suite)
    assert not passes("    return a\n", suite)
    assert not passes("", suite)


def test_without_a_sandbox_nothing_is_judged(monkeypatch):
    def refuse(*arguments, **named):
        raise RunError("no sandbox here")

    monkeypatch.setattr(sandbox, "run", refuse)
    with pytest.raises(RunError, match="no sandbox"):
        code.grade(RIGHT + "# a program not judged before", SQUARE.dump())


@pytest.mark.parametrize(
    "reference", ["", "42", "{}", '{"tests": []}', '{"tests": [1]}', "[1]", '{"tests": 3}']
)
def test_a_reference_without_tests_is_an_error(reference):
    with pytest.raises(UsageError, match="holds no tests"):
        code.Suite.load(reference)


def test_a_reference_comes_back_as_it_went():
    assert code.Suite.load(HUMANEVAL.dump()) == HUMANEVAL
    assert json.loads(HUMANEVAL.dump())["entry_point"] == "doubled"


F = "def f(): pass"
G = "def g(): return f()"
TESTS = "import unittest\nclass TestF(unittest.TestCase):\n    def test(self): self.assertTrue(f())"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (f"```python\n{F}\n```", F),
        (f"Here:\r\n\r\n```python\r\n{F}\r\n```\r\nDone.", F),
        ("```\nx = 1\n```\nbetter:\n```py\nx = 2\n```", "x = 2"),
        (f"```python\n{F}\n```\nUse it:\n```python\nassert f() is None\n```", F),
        ("    return 1\n", "    return 1"),
        (F, F),
        # how a fence is written
        (f"```py3\n{F}\n```", F),
        (f"```Python3\n{F}\n```", F),
        (f"```python3.11\n{F}\n```", F),
        (f'```python title="a"\n{F}\n```', F),
        (f'```python title="a.py" {{1,3-4}}\n{F}\n```', F),
        (f"```{{.python .numberLines}}\n{F}\n```", F),
        (f"```python:main.py\n{F}\n```", F),
        (f"``` python\n{F}\n```", F),
        (f"```ipython\n{F}\n```", F),
        (f"````python\n{F}\n````", F),
        (f"`````\n{F}\n`````", F),
        (f"~~~\n{F}\n~~~", F),
        (f"~~~~python\n{F}\n~~~~", F),
        (f"````markdown\n```python\n{F}\n```\n````", F),
        (f"```{F}\n```", F),
        (f"Here it is: ```python\n{F}\n```", F),
        (f"```python\n{F}```", F),
        ("```python\ndef f():\n    return 1```\nDone.", "def f():\n    return 1"),
        # where it stands
        (f"1. First:\n   ```python\n   {F}\n   ```\n2. Then run it.", F),
        ("- ```python\n  def f():\n      pass\n  ```", "def f():\n    pass"),
        ("1. ```python\n   def f():\n       pass\n   ```", "def f():\n    pass"),
        ("\t```python\n\tdef f():\n\t    pass\n\t```", "def f():\n    pass"),
        ("  ```python\ndef f():\n    pass\n  ```", "def f():\n    pass"),
        ("> ```python\n> def f():\n>     pass\n> ```", "def f():\n    pass"),
        ("```python\n    return 1\n```", "    return 1"),
        # beside other blocks
        (f"```text\nIn: 1\n```\n```python\n{F}\n```", F),
        (f"```bash\npip install x\n```\n\n```python\n{F}\n```\n```bash\npython f.py\n```", F),
        (f'```json\n{{"a": 1}}\n```\n```\n{F}\n```', F),
        (f"```python\n{F}\n```\n```json\n[1]\n```", F),
        ("```java\nclass F {}\n```\n```python\nx = 1\n```", "x = 1"),
        (f"```code\n{F}\n```\n```text\n5\n```", F),
        (f"```python\n{F}\n```\nOutput:\n```\n5\n```", F),
        # tests and examples after it
        (f"```python\n{F}\n```\nTests:\n```python\n{TESTS}\n```", F),
        (f"```python\n{F}\n```\n```python\ndef test_f():\n    assert f() is None\n```", F),
        (f"```python\n{F}\n```\n```python\nfrom solution import f\ndef main(): print(f())\n```", F),
        (
            f"```python\n{F}\n```\n```python\nimport pytest\n"
            "@pytest.mark.parametrize('x', [1])\ndef test_it(x): assert f() == x\n```",
            F,
        ),
        ("```python\n    return 1\n```\nFor example\n```python\nprint(f())\n```", "    return 1"),
        (
            "```python\ndef test_equal(a, b): return a == b\n```\n```python\ndef test_it():\n"
            "    assert test_equal(1, 1)\n```",
            "def test_equal(a, b): return a == b",
        ),
        # a program in parts
        (f"```python\n{F}\n```\nWith it:\n```python\n{G}\n```", f"{F}\n\n{G}"),
        (
            "```python\nimport math\n```\n```python\ndef f(x): return math.sqrt(x)\n```",
            "import math\n\ndef f(x): return math.sqrt(x)",
        ),
        (f"```python\n{G}\n```\n```python\n{F}\n```", F),
        (f"```python\ndef f(): return 0\n```\nFaster:\n```python\n{F}\n```", F),
        # fences without a partner
        (f"```python\n{F}\n```\nThat is all.\n```", F),
        (f"```python\n{F}\n```\n```\n\n", F),
        (f"{F}\n```", F),
        (f"{F}\n```\nThis defines f.", F),
        ("    return 1\n```\n\nExplanation: it is one.", "    return 1"),
        (f"```python\n{F}", None),
        (f"```python\n{F}\n```\nor\n```python\ndef f", None),
        (f"````python\n{F}\n```", None),
        # without a fence
        (f"Here is the function:\n\n{F}", F),
        (f"Here it is, from the start:\nfrom math import pi\n{F}", f"from math import pi\n{F}"),
        (f"{F}\n\nThis function returns nothing at all.", F),
        (f"Sure!\n{F}\n\n{G}\n\nIt works because\n\nof f.", f"{F}\n\n{G}"),
        ("I cannot do it.", "I cannot do it."),
        ("def f is a function.", "def f is a function."),
        # thoughts
        (f"<think>```python\n{F}\n```</think>\n```python\n{G}\n```", G),
        (f"<think>\nMaybe\n```python\n{F}\n```\nNo, ", None),
        (f"<think>{F}", None),
        (f"Done.</think>\n{F}", f"\n{F}"),
        (f"<thinking>a</thinking><think>```python\n{F}\n```", None),
        ("", None),
        ("  \n", None),
    ],
)
def test_the_program_is_taken_from_its_fence(text, wanted):
    assert code.answer(text) == wanted


def test_a_fence_in_a_docstring_ends_nothing():
    program = 'def f():\n    """For example\n    ```python\n    f()\n    ```\n    """\n    return 1'
    assert code.answer(f"```python\n{program}\n```\nDone.") == program


@given(
    fence=st.sampled_from(["```", "````", "~~~", "~~~~~"]),
    info=st.sampled_from(["", "python", "py", "python3", 'python title="x"', "{.python}"]),
    before=st.lists(st.sampled_from(["Sure.", "```bash\nls\n```", "- a list", "", "`x`"])),
    after=st.lists(
        st.sampled_from(["It is 1.", "```text\n1\n```", "```python\nprint(f())\n```", "", "`y`"])
    ),
    margin=st.sampled_from(["", "  ", "   "]),
)
def test_what_is_around_a_program_does_not_change_it(fence, info, before, after, margin):
    program = "def f():\n    if True:\n        return 1"
    block = f"{fence}{info}\n{program}\n{fence}"
    inside = "\n".join(f"{margin}{line}" for line in block.split("\n"))
    assert code.answer("\n".join([*before, inside, *after])) == program


def test_programs_vote_together_whatever_their_comments_and_spacing():
    a = "def f( x ):  # why\n    return(x+1)\n"
    assert code.canonical(a) == code.canonical("def f(x):\n\n  return x + 1")
    assert code.canonical("    return 1") == "    return 1"
