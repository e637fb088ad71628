r"""Random pairs of formulas with a verdict that needs no computer algebra.

A formula is a tree. It is written in one of many ways, and its value at a point is computed from
the tree alone. A pair is one tree written twice, or rewritten by a law of algebra (equal), or with
one symbol, case or brace changed (unequal, if the values are). Only notation is used that people
read in one way.

    python tests/formulas.py 5000 [SEED]     prints every pair that is judged wrongly
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

LETTERS = "abcknmrstuvxyzABCKNMRSTUVXYZ"
GREEK = (r"\alpha", r"\beta", r"\theta", r"\lambda")
FUNCTIONS = {"sin": math.sin, "cos": math.cos, "ln": lambda x: math.log(abs(x)), "exp": math.exp}


@dataclass(frozen=True)
class Node:
    """`kind` with its `parts`; `name` is a number, a letter or the name of a function."""

    kind: str
    parts: tuple[Node, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Pair:
    """Two formulas, whether they are equal, and whether only their spelling differs."""

    left: str
    right: str
    equal: bool
    how: str


def leaf(rng: random.Random) -> Node:
    kind = rng.choice(["number", "letter", "letter", "letter", "greek", "indexed"])
    if kind == "number":
        return Node("number", name=str(rng.randint(2, 99)))
    if kind == "greek":
        return Node("letter", name=rng.choice([*GREEK, r"\pi"]))
    letter = rng.choice(LETTERS)
    return Node(
        "letter", name=f"{letter}_{{{rng.randint(1, 29)}}}" if kind == "indexed" else letter
    )


def tree(rng: random.Random, depth: int) -> Node:
    if depth == 0:
        return leaf(rng)
    kind = rng.choice(["sum", "product", "product", "power", "power", "fraction", "root", "log",
                       "function", "leaf"])  # fmt: skip
    if kind == "leaf":
        return leaf(rng)
    if kind in {"sum", "product"}:
        members = tuple(tree(rng, depth - 1) for _ in range(rng.randint(2, 3)))
        return Node(kind, members)
    if kind == "power":
        base = tree(rng, depth - 1) if rng.random() < 0.3 else leaf(rng)
        exponent = Node("product", (leaf(rng), leaf(rng))) if rng.random() < 0.4 else leaf(rng)
        return Node("power", (base, exponent))
    if kind == "log":
        base = Node("number", name=str(rng.randint(2, 99)))
        return Node("log", (base, leaf(rng)))
    if kind == "function":
        return Node("function", (tree(rng, depth - 1),), rng.choice(sorted(FUNCTIONS)))
    if kind == "root":
        return Node("root", (tree(rng, depth - 1),), rng.choice(["", "", "3", "4"]))
    return Node("fraction", (tree(rng, depth - 1), tree(rng, depth - 1)))


# Values ------------------------------------------------------------------------------------------


def value(node: Node, point: int) -> float:
    """The value of a tree where every letter is a number that its name and the point give."""
    parts = [value(part, point) for part in node.parts]
    match node.kind:
        case "number":
            return float(node.name)
        case "letter":
            return math.pi if node.name == r"\pi" else _place(node.name, point)
        case "sum":
            return math.fsum(parts)
        case "negative":
            return -parts[0]
        case "product":
            return math.prod(parts)
        case "power":
            return float(parts[0] ** parts[1])
        case "fraction":
            return parts[0] / parts[1]
        case "root":
            return float(parts[0] ** (1 / int(node.name or "2")))
        case "log":
            return math.log(parts[1]) / math.log(parts[0])
        case _:
            return FUNCTIONS[node.name](parts[0])


def _place(name: str, point: int) -> float:
    return random.Random(f"{name} at {point}").uniform(0.4, 1.9)


def differ(a: Node, b: Node) -> bool | None:
    """Whether the values differ clearly; `None` where that cannot be told."""
    verdicts = set()
    for point in range(3):
        try:
            x, y = value(a, point), value(b, point)
        except (OverflowError, ValueError, ZeroDivisionError, TypeError):
            return None
        if not all(1e-9 < abs(z) < 1e12 for z in (x, y)):
            return None
        verdicts.add(abs(x - y) > 1e-6 * max(abs(x), abs(y)))
    return verdicts.pop() if len(verdicts) == 1 else True


# Spelling ----------------------------------------------------------------------------------------


class Writer:
    """Writes trees; every choice is drawn."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def answer(self, node: Node) -> str:
        """The formula as the whole of an answer."""
        text = self.formula(node)
        ways = [
            "{}",
            "{}",
            "{}",
            "${}$",
            r"\({}\)",
            r"\displaystyle {}",
            "{}.",
            " {} ",
            r"\boxed{{{}}}",
        ]
        return self._rng.choice(ways).format(text)

    def formula(self, node: Node) -> str:
        match node.kind:
            case "number":
                return self._font(node.name)
            case "letter":
                return self._letter(node.name)
            case "sum":
                return self._sum(node)
            case "negative":
                return "-" + self._factor(node.parts[0])
            case "product":
                return self._product(node)
            case "power":
                return self._power(node)
            case "fraction":
                above, below = (self._argument(part) for part in node.parts)
                return rf"\{self._rng.choice(['frac', 'dfrac', 'tfrac'])}{above}{below}"
            case "root":
                degree = f"[{node.name}]" if node.name else ""
                inside = self.formula(node.parts[0])
                return rf"\sqrt{degree}{{{inside}}}"
            case "log":
                base, of = (self.formula(part) for part in node.parts)
                script = (
                    f"{base} " if len(base) == 1 and self._rng.random() < 0.5 else f"{{{base}}}"
                )
                return rf"\log_{script}{self._brackets(of)}"
            case _:
                return rf"\{node.name}{self._space()}{self._brackets(self.formula(node.parts[0]))}"

    def _space(self) -> str:
        return self._rng.choice(["", "", "", " ", "  ", r"\,", r"\ "])

    def _font(self, text: str) -> str:
        fonts = ["{}"] * 12 + [r"\mathbf{{{}}}", r"\boldsymbol{{{}}}", r"\textcolor{{red}}{{{}}}"]
        return self._rng.choice(fonts).format(text)

    def _letter(self, name: str) -> str:
        if name.startswith("\\"):
            return name + " "
        letter, _, index = name.partition("_")
        if not index:
            return self._font(letter)
        bare = index[1:-1]
        return f"{letter}_{bare} " if len(bare) == 1 and self._rng.random() < 0.5 else name

    def _brackets(self, text: str) -> str:
        left, right = self._rng.choice(
            [("(", ")"), (r"\left(", r"\right)"), (r"\left( ", r" \right)")]
        )
        return f"{left}{text}{right}"

    def _argument(self, node: Node) -> str:
        text = self.formula(node)
        lone = node.kind in {"number", "letter"} and len(text) == 1
        return f" {text} " if lone and self._rng.random() < 0.5 else f"{{{text}}}"

    def _factor(self, node: Node) -> str:
        text = self.formula(node)
        return self._brackets(text) if node.kind in {"sum", "negative"} else text

    def _sum(self, node: Node) -> str:
        text = self.formula(node.parts[0])
        for part in node.parts[1:]:
            if part.kind == "negative":
                text += f"{self._space()}-{self._space()}{self._factor(part.parts[0])}"
            else:
                text += f"{self._space()}+{self._space()}{self.formula(part)}"
        return text

    def _product(self, node: Node) -> str:
        text = ""
        for part in node.parts:
            factor = self._factor(part)
            # A number after a number needs a sign, and so does a fraction: it would be mixed.
            dot = text and (_first(part) in {"number", "fraction"} or self._rng.random() < 0.2)
            if text:
                text += self._rng.choice([r"\cdot ", r" \times "]) if dot else self._space()
            text += factor
        return text

    def _power(self, node: Node) -> str:
        base, exponent = node.parts
        plain = base.kind in {"number", "letter"}
        written = self.formula(base) if plain else self._brackets(self.formula(base))
        script = self.formula(exponent)
        if len(script) == 1 and self._rng.random() < 0.6:
            return f"{written.rstrip()}^{script} "
        return f"{written.rstrip()}^{{{script}}}"


def _first(node: Node) -> str:
    """The kind of what a formula begins with."""
    return _first(node.parts[0]) if node.kind in {"product", "power"} else node.kind


# Pairs -------------------------------------------------------------------------------------------


def shuffled(node: Node, rng: random.Random) -> Node:
    """The tree with its sums and products in another order."""
    parts = [shuffled(part, rng) for part in node.parts]
    if node.kind in {"sum", "product"}:
        rng.shuffle(parts)
    return replace(node, parts=tuple(parts))


def _laws(node: Node) -> Iterator[Node]:
    """The tree rewritten by one law at its root."""
    parts = node.parts
    if node.kind == "product" and parts[-1].kind == "sum":
        yield Node("sum", tuple(Node("product", (*parts[:-1], term)) for term in parts[-1].parts))
    if node.kind == "fraction":
        yield Node("product", (parts[0], Node("fraction", (Node("number", name="1"), parts[1]))))
    if node.kind == "root" and node.name == "":
        yield Node(
            "power",
            (parts[0], Node("fraction", (Node("number", name="1"), Node("number", name="2")))),
        )
    if node.kind == "power" and parts[1].kind == "number" and parts[1].name == "2":
        yield Node("product", (parts[0], parts[0]))


def _symbols(node: Node, rng: random.Random) -> Iterator[Node]:
    """The tree with its root changed in one symbol."""
    if node.kind == "letter" and node.name in LETTERS:
        yield replace(node, name=rng.choice([one for one in LETTERS if one != node.name]))
    if node.kind == "number":
        yield replace(node, name=str(int(node.name) + rng.choice([-1, 1, 10])))
    if node.kind == "sum":
        yield replace(node, parts=(*node.parts[:-1], Node("negative", (node.parts[-1],))))
    if node.kind in {"power", "fraction"}:
        yield replace(node, parts=node.parts[::-1])


def _cases(node: Node) -> Iterator[Node]:
    """The tree with the letter at its root in the other case."""
    if node.kind == "letter" and not node.name.startswith("\\"):
        yield replace(node, name=node.name.swapcase())


def _braces(node: Node) -> Iterator[Node]:
    """The tree with the last of what its braces hold put outside."""
    if node.kind == "letter" and len(node.name) == 6 and node.name[1] == "_":  # `x_{12}`
        yield Node(
            "product",
            (Node("letter", name=f"{node.name[:4]}}}"), Node("number", name=node.name[4])),
        )
    if node.kind == "log" and len(node.parts[0].name) == 2 and node.parts[1].kind == "number":
        base, of = node.parts[0].name, node.parts[1].name
        if base[0] != "1":
            yield Node("log", (Node("number", name=base[0]), Node("number", name=base[1] + of)))
    if node.kind not in {"power", "root", "fraction"}:
        return
    *before, last = node.parts
    if last.kind == "product":
        inner = last.parts[0] if len(last.parts) == 2 else replace(last, parts=last.parts[:-1])
        yield Node("product", (replace(node, parts=(*before, inner)), last.parts[-1]))
    if last.kind == "sum":
        inner = last.parts[0] if len(last.parts) == 2 else replace(last, parts=last.parts[:-1])
        yield Node("sum", (replace(node, parts=(*before, inner)), last.parts[-1]))


def _changed(node: Node, change: str, rng: random.Random) -> list[Node]:
    """Every tree that differs from this one by one change, somewhere."""
    ways = {"law": _laws, "case": _cases, "brace": _braces}
    result = list(_symbols(node, rng) if change == "symbol" else ways[change](node))
    for place, part in enumerate(node.parts):
        for other in _changed(part, change, rng):
            result.append(
                replace(node, parts=(*node.parts[:place], other, *node.parts[place + 1 :]))
            )
    return result


def pairs(count: int, seed: int = 0) -> Iterator[Pair]:
    """As many pairs as asked for, the same ones for the same seed."""
    rng = random.Random(seed)
    made = 0
    while made < count:
        node = tree(rng, rng.randint(1, 3))
        how = rng.choice(["spelling", "order", "law", "symbol", "case", "brace"])
        if how in {"spelling", "order"}:
            other = shuffled(node, rng) if how == "order" else node
        else:
            others = _changed(node, how, rng)
            if not others:
                continue
            other = rng.choice(others)
        if all(part.kind == "letter" for part in node.parts) and node.kind == "product":
            continue  # `Tab` may be a word
        verdict = differ(node, other)
        if verdict is None or verdict is (how in {"spelling", "order", "law"}):
            continue
        writer = Writer(rng)
        left, right = writer.answer(node), writer.answer(other)
        if max(len(left), len(right)) > 200:
            continue
        made += 1
        yield Pair(left, right, not verdict, how)


def faults(pair: Pair) -> list[str]:
    """What the grader says of a pair and should not."""
    from outthink.grade import math as grader

    told = []
    if grader.grade(pair.left, pair.right) is not pair.equal:
        told.append("verdict")
    if grader.grade(pair.right, pair.left) is not pair.equal:
        told.append("verdict the other way round")
    votes = [grader.canonical(text) for text in (pair.left, pair.right)]
    if (votes[0] == votes[1]) and not pair.equal:
        told.append("one vote")
    if (votes[0] != votes[1]) and pair.how in {"spelling", "order"}:
        told.append(f"two votes: {votes}")
    return told


if __name__ == "__main__":
    wrong = 0
    for pair in pairs(int(sys.argv[1]), int((sys.argv[2:] or ["0"])[0])):
        if told := faults(pair):
            wrong += 1
            sys.stdout.write(f"{pair}\n    {told}\n")
    sys.stdout.write(f"{sys.argv[1]} pairs, {wrong} judged wrongly\n")
