"""The scripts beside the package say what they do, so nothing that they import has moved."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"
HOOKS = {"fuzz_hooks.py"}
"""Read by another program."""


@pytest.mark.parametrize(
    "script", [path.name for path in sorted(SCRIPTS.glob("*.py")) if path.name not in HOOKS]
)
def test_a_script_says_how_it_is_used(script):
    asked = subprocess.run(
        [sys.executable, SCRIPTS / script, "--help"], capture_output=True, text=True
    )
    assert (asked.returncode, asked.stderr) == (0, "")
    assert "usage" in asked.stdout.lower()
