"""What holds for every test.

Hypothesis draws the same examples every time: a failure is the change's, not the day's. Of several
test processes side by side each computes with one thread, so that they do not take turns on cores.
"""

import os

import pytest
from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:
    # Read once, when torch and numpy are imported; child processes inherit it.
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

settings.register_profile("same", derandomize=True, deadline=None, database=None)
settings.load_profile("same")


@pytest.fixture(scope="module")
def quick_fits():
    """Sequential policies from few replayed steps: for tests of what is done with a fit, not of how
    good it is."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("outthink.policy.learn.STEPS_EACH", 40)
        patched.setattr("outthink.policy.learn.PRICES", 4)
        yield


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A headless Chromium, for the tests of a page."""
    from test_report_browser import Browser

    started = Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()
