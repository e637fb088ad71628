"""What the package promises: its names, imports that point one way, and nothing of one machine."""

import ast
import re
from pathlib import Path

import outthink

SOURCE = Path(outthink.__file__).parent
LAYERS = (
    {"version", "errors", "progress"},
    {"types", "estimate", "report.wire", "store_file"},
    {"costs", "difficulty", "grade", "ledger", "ports", "select", "simulate", "texts"},
    {"search", "policy", "driver", "propose", "report", "exchange", "scaling"},
    {"chains", "gauge", "hf"},
    {"propose.hf", "verify"},
    {"store", "train", "lab.task"},
    {"failures"},
    {"lab", "data", "study", "train.own"},
    {"partial"},
    {"results"},
    {"as_json"},
    {"report.study"},
    {"lab.build", "lab.facts", "sweeps"},
    {"reproduce", "minds"},
    {"jobs", "bench", "bench_served"},
    {"api"},
    {"cli"},
    {""},
)
"""A module may import from layers below its own, and from its own package. Lowest first."""


def modules():
    """Every module as (dotted name without `outthink`, its syntax tree)."""
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        yield name, ast.parse(path.read_text("utf-8"))


def imports(tree, names):
    """Modules of ours that a tree imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("outthink") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            if (node.module or "").split(".")[0] == "outthink":
                inside = node.module.removeprefix("outthink").removeprefix(".")
                for alias in node.names:
                    full = f"{inside}.{alias.name}".removeprefix(".")
                    yield full if full in names else inside


def layer(name):
    while name:
        for number, names in enumerate(LAYERS):
            if name in names:
                return number
        name = name.rpartition(".")[0]
    return len(LAYERS) - 1


def graph():
    trees = dict(modules())
    return {name: set(imports(tree, trees)) - {name} for name, tree in trees.items()}


def test_all_is_what_there_is():
    public = {name for name in vars(outthink) if not name.startswith("_") and name != "annotations"}
    submodules = {path.stem for path in SOURCE.iterdir()}
    assert set(outthink.__all__) == (public - submodules) | {"__version__", "strategy"}
    assert list(outthink.__all__) == sorted(outthink.__all__, key=_isort)


def _isort(name):
    """Constants, then classes, then the rest: the order ruff keeps."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def test_imports_point_one_way():
    wrong = [
        f"{name or 'outthink'} imports {other}"
        for name, others in graph().items()
        for other in others
        if layer(other) > layer(name)
        or (layer(other) == layer(name) and other.split(".")[0] != name.split(".")[0])
    ]
    assert not wrong


def test_no_imports_go_round():
    found, done = graph(), set()

    def visit(name, path):
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for other in found[name]:
                visit(other, [*path, name])
            done.add(name)

    for name in found:
        visit(name, [])


def test_torch_is_imported_by_engines_in_process_alone():
    users = {
        name
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for module in (
            [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
        if module and module.split(".")[0] == "torch"
    }
    assert users
    others = {name for name in users if name.split(".")[0] not in ("lab", "hf", "verify")}
    assert others == {"propose.hf", "train.card", "train.checkpoint", "train.fit", "train.own"}


_OF_ONE_MACHINE = re.compile(r"/(home|root|Users|work|tmp)/|index-url|files\.pythonhosted|/simple/")


def test_nothing_names_a_machine_or_a_registry():
    root = SOURCE.parent.parent
    places = [SOURCE, root / "pyproject.toml", root / "Makefile", root / "README.md", root / ".ci"]
    files = [
        path
        for place in places
        for path in ([place] if place.is_file() else place.rglob("*"))
        if path.suffix in {".py", ".toml", ".md", ".js", ".css"} or path.name in {"Makefile", "run"}
    ]
    found = [
        f"{path.relative_to(root)}: {match[0]}"
        for path in files
        if (match := _OF_ONE_MACHINE.search(path.read_text("utf-8")))
    ]
    assert not found
