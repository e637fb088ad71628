"""The explorer: the page's compact form of search trees, and the elements that its script fills.

A page holds up to a few hundred trees of up to a few hundred steps. Many steps have the same text,
so a text is stored once and steps refer to it; scores keep three digits.
"""

from __future__ import annotations

from typing import Any

from outthink.errors import UsageError
from outthink.report.data import Node, Report, Tree
from outthink.report.markup import embed, escape, tag
from outthink.report.section import Section
from outthink.report.style import Styles

CHOSEN, KEPT, FINISHED, TRUNCATED = 1, 2, 4, 8


def explorer(report: Report, styles: Styles) -> Section | None:
    """The list of searches with its filters, and an empty element for the chosen tree."""
    if not report.trees:
        return None
    bins = sorted({tree.bin for tree in report.trees if tree.bin is not None})
    strategies = dict.fromkeys(tree.strategy for tree in report.trees)
    filters = (
        _field("Search", tag("input", type="search", id="find", placeholder="prompt, id, answer"))
        + _select(
            "Result", "result", [("right", "right"), ("wrong", "wrong"), ("none", "ungraded")]
        )
        + _select("Difficulty", "bin", [(str(b), f"bin {b}") for b in bins])
        + _select("Strategy", "strategy", [(name, styles[name].label) for name in strategies])
    )
    side = tag(
        "div",
        tag("div", filters, class_="filters"),
        tag("p", role="status", class_="count"),
        tag("ul", class_="problems", aria_label="Problems"),
        class_="side",
    )
    main = tag("article", class_="tree", id="tree", tabindex=-1, aria_label="Search tree")
    data = tag("script", embed(pack(report, styles)), type="application/json", id="trees")
    missing = tag("noscript", tag("p", "Reading the trees needs JavaScript."))
    return Section(
        "explorer",
        "Explorer",
        "Search trees, step by step",
        tag(
            "p",
            "Choose a problem to read its search step by step. The path of the final answer is "
            "marked with a star; open a step to see what else the search tried there.",
            class_="lead-in",
        )
        + missing
        + tag("div", side, main, class_="explorer", hidden=True)
        + data,
    )


def _field(label: str, control: str) -> str:
    return tag("label", tag("span", label), control)


def _select(label: str, id: str, options: list[tuple[str, str]]) -> str:
    shown = tag("option", "all", value="") + "".join(
        tag("option", escape(name), value=value) for value, name in options
    )
    return _field(label, tag("select", shown, id=id))


def pack(report: Report, styles: Styles) -> dict[str, Any]:
    """All trees as nested lists; the script's `unpack` reads them."""
    texts: dict[str, int] = {}
    trees = [_pack_tree(tree, texts) for tree in report.trees]
    labels = {name: styles[name].label for name in dict.fromkeys(t.strategy for t in report.trees)}
    return {"texts": list(texts), "labels": labels, "trees": trees}


def _pack_tree(tree: Tree, texts: dict[str, int]) -> dict[str, Any]:
    seen = {-1}
    for node in tree.nodes:
        if node.parent not in seen or node.number in seen:
            raise UsageError(
                f"tree of problem {tree.problem_id!r}: step {node.number} has parent "
                f"{node.parent}; give every step once, after its parent"
            )
        seen.add(node.number)
    usage = tree.usage
    return {
        "id": tree.problem_id,
        "prompt": tree.prompt,
        "reference": tree.reference,
        "strategy": tree.strategy,
        "budget": tree.budget,
        "bin": tree.bin,
        "answer": tree.answer,
        "right": tree.right,
        "usage": [
            usage.generations,
            usage.prompt_tokens,
            usage.cached_tokens,
            usage.decoded_tokens,
            usage.discarded_tokens,
            usage.verifier_tokens,
            usage.verifier_cached_tokens,
        ],
        "nodes": [_pack_node(node, texts) for node in tree.nodes],
    }


def _pack_node(node: Node, texts: dict[str, int]) -> list[Any]:
    flags = (
        CHOSEN * node.on_chosen_path
        + KEPT * node.kept
        + FINISHED * node.finished
        + TRUNCATED * node.truncated
    )
    score = None if node.score is None else round(node.score, 3)
    packed = [node.number, node.parent, texts.setdefault(node.text, len(texts)), score, flags]
    return packed if node.answer is None else [*packed, node.answer]
