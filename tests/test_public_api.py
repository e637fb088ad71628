"""What the package promises: its names, imports that point one way, and nothing of one machine."""

import ast
import re
from pathlib import Path

import outthink

SOURCE = Path(outthink.__file__).parent
MOST_LAYERS = 8
"""Rooms that stand on one another; what is at the root is no room."""


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


def room(name):
    return name.split(".")[0]


def stated():
    """By room, the rooms that its own docstring says it stands on."""
    rooms = {}
    for folder in SOURCE.iterdir():
        if (folder / "__init__.py").exists():
            told = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8")))
            names = re.search(r"^Stands on: ([\w,\s]+)\.", told, re.M)
            assert names, f"{folder.name} does not say what it stands on"
            rooms[folder.name] = set(re.split(r",\s+", names[1]))
    return rooms


def graph():
    trees = dict(modules())
    return {name: set(imports(tree, trees)) - {name} for name, tree in trees.items()}


def test_all_is_what_there_is():
    ours = {name for name in dir(outthink) if not name.startswith("_")}
    public = ours - {"Any", "TYPE_CHECKING", "annotations", "import_module"}
    submodules = {path.stem for path in SOURCE.iterdir()}
    # The function `run` hides the room of that name, whose modules are imported by theirs.
    assert set(outthink.__all__) == (public - submodules) | {"__version__", "strategy", "run"}
    assert list(outthink.__all__) == sorted(outthink.__all__, key=_isort)
    assert all(hasattr(outthink, name) for name in outthink.__all__)


def _isort(name):
    """Constants, then classes, then the rest: the order ruff keeps."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def test_a_room_imports_what_it_says_it_stands_on():
    imported = {name: set() for name in stated()}
    for name, others in graph().items():
        if room(name) in imported:
            imported[room(name)] |= {room(other) for other in others} - {room(name)}
    assert imported == stated()


def test_rooms_stand_in_few_layers():
    rooms = stated()

    def height(name, above=()):
        assert name not in above, " -> ".join([*above, name])
        under = [height(other, (*above, name)) for other in rooms[name] if other in rooms]
        return 1 + max(under, default=0)

    assert max(map(height, rooms)) <= MOST_LAYERS


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
    others = {name for name in users if room(name) not in ("lab", "train", "verify")}
    assert others == {
        "models.fingerprint",
        "models.kv",
        "models.transformers",
        "models.uniform",
        "models.weights",
    }


_OF_ONE_MACHINE = re.compile(r"/(home|root|Users|work|tmp)/|index-url|files\.pythonhosted|/simple/")


NAMES = {"Makefile", "run"}


def test_nothing_names_a_machine_or_a_registry():
    root = SOURCE.parent.parent
    places = [SOURCE, root / "pyproject.toml", root / "Makefile", root / "README.md", root / ".ci"]
    files = [
        path
        for place in places
        for path in ([place] if place.is_file() else place.rglob("*"))
        if path.is_file()
        and (path.suffix in {".py", ".toml", ".md", ".js", ".css"} or path.name in NAMES)
    ]
    found = [
        f"{path.relative_to(root)}: {match[0]}"
        for path in files
        if (match := _OF_ONE_MACHINE.search(path.read_text("utf-8")))
    ]
    assert not found
