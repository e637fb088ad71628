"""A search is one short file: it reads as its paper does."""

import ast
import inspect
import io
import tokenize
from pathlib import Path

import pytest

import outthink.search
from outthink.search import SEARCHES, strategy
from outthink.search.chains import chains

MOST = 60
MACHINERY = {"select", "strategy", "words"}
"""Files of the room that are no search and no brick of one: choosing, names, asking in words."""

FILES = {path.stem: path for path in Path(outthink.search.__file__).parent.glob("*.py")}
NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def lines_of_code(source):
    """Lines without blanks, comments, strings that stand alone, and imports."""
    tree = ast.parse(source)
    told = [node for node in ast.walk(tree) if isinstance(node, ast.Expr) and is_text(node.value)]
    told += [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    left_out = {line for node in told for line in range(node.lineno, node.end_lineno + 1)}
    read = tokenize.generate_tokens(io.StringIO(source).readline)
    code = [token for token in read if token.type not in NOT_CODE]
    return len({line for t in code for line in range(t.start[0], t.end[0] + 1)} - left_out)


def is_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


@pytest.mark.parametrize("name", sorted(FILES.keys() - MACHINERY))
def test_a_search_has_at_most_sixty_lines_of_code(name):
    assert lines_of_code(FILES[name].read_text()) <= MOST


def test_every_search_has_a_file_of_its_own():
    files = [inspect.unwrap(search).__module__ for search in (*SEARCHES.values(), chains)]
    assert len(set(files)) == len(files)
    assert not {file.rpartition(".")[2] for file in files} & MACHINERY
    assert [strategy(name).name for name in SEARCHES] == list(SEARCHES)


def test_lines_are_counted_without_imports_docstrings_comments_and_blanks():
    source = '"""Two\nlines."""\n\nimport ast  # one\n\nx = [\n    1,\n]\n# no\n"""Of x."""\n'
    assert lines_of_code(source) == 3
