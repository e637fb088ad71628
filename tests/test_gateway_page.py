"""The live page in a real browser: a tree that grows, decisions that are explained."""

import json
import threading

import pytest
from serving import Scripted, Serving
from test_gateway import TASK, Stalls, ask
from test_report_browser import CHROMIUM

from outthink.gateway.settings import Settings
from outthink.gateway.shipped import shipped
from outthink.study.models import Models

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on PATH; install it with: apt-get install chromium"
)


@pytest.fixture(scope="module")
def lab():
    with Serving(Settings(Models(), shipped(Models()))) as served:
        ask(served.client, seed=0, extra_body={"outthink": {"most": 8, "price": 0.001}})
        yield served


def opened(browser, url, *, width=1280, dark=False):
    browser("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1,
            mobile=width < 600)  # fmt: skip
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser("Emulation.setEmulatedMedia", features=[scheme])
    browser("Page.navigate", url="about:blank")
    browser.events.clear()
    loader = browser("Page.navigate", url=url)["loaderId"]
    while not any(
        told["loaderId"] == loader and told["name"] == "load"
        for told in browser.said("Page.lifecycleEvent")
    ):
        browser.events.append(browser._read())


def until(browser, condition):
    """Wait until an expression is true, looking at every frame."""
    browser.js(
        f"new Promise(go => {{ const look = () => ({condition}) ? go(true) "
        ": requestAnimationFrame(look); look(); })"
    )


def text(browser, id):
    return browser.js(f"document.getElementById({json.dumps(id)}).textContent")


def complaints(browser):
    return browser.said("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 360])
def test_it_shows_what_was_thought_and_complains_of_nothing(browser, lab, width, dark):
    opened(browser, lab.url, width=width, dark=dark)
    until(browser, "document.querySelector('#verdict b')")
    assert text(browser, "prompt") == TASK
    assert "right with probability" in text(browser, "verdict")
    assert browser.js("document.documentElement.scrollWidth <= innerWidth")
    assert not complaints(browser)


def test_every_decision_is_explained(browser, lab):
    opened(browser, lab.url)
    until(browser, "document.querySelector('#decisions li')")
    told = browser.js("[...document.querySelectorAll('#decisions li')].map(li => li.textContent)")
    assert told[0].startswith("Nothing is known yet: it runs ")
    assert told[-1].endswith("no further stage is worth what it costs, so it answers.")


def test_a_tree_is_seen_to_grow(browser):
    engine = Stalls(3)
    with Serving(Settings(Scripted(writes=engine))) as served:
        opened(browser, served.url)
        until(browser, "document.getElementById('state').textContent === 'live'")
        assert browser.js("document.querySelectorAll('#tree g').length") == 0
        more = {"model": "hf:scripted:majority@6", "extra_body": {"outthink": {"deadline_s": 1}}}
        asking = threading.Thread(target=ask, args=(served.client,), kwargs=more)
        asking.start()
        until(browser, "document.querySelectorAll('#tree g').length === 3")
        assert text(browser, "verdict") == "thinking"
        until(browser, "document.getElementById('verdict').textContent.includes('deadline')")
        asking.join()
        assert not complaints(browser)


def test_the_keyboard_reaches_every_solution(browser, lab):
    opened(browser, lab.url)
    until(browser, "document.querySelector('#tree g')")
    count = browser.js("document.querySelectorAll('#tree g').length")
    assert browser.js("document.querySelectorAll('#tree g[tabindex=\"0\"]').length") == 1
    browser.js("document.querySelector('#tree g[tabindex=\"0\"]').focus()")
    browser.press("ArrowUp", count)
    seen = {text(browser, "said").partition(",")[0]}
    for _ in range(count - 1):
        browser.press("ArrowDown")
        seen.add(text(browser, "said").partition(",")[0])
    assert seen == {f"#{number}" for number in range(count)}
    assert browser.js("document.activeElement.getAttribute('aria-label')").startswith(
        f"{count - 1}, "
    )


def test_a_question_can_be_asked_on_the_page(browser, lab):
    opened(browser, lab.url)
    browser.js("document.getElementById('question').value = '00001 *3'")
    browser.js("document.getElementById('effort').value = 'minimal'")
    browser.js("document.querySelector('#ask button').click()")
    until(browser, "document.getElementById('prompt').textContent === '00001 *3'")
    browser.js("document.getElementById('question').value = 'hello'")
    browser.js("document.querySelector('#ask button').click()")
    until(browser, "document.getElementById('refused').textContent")
    assert "not a problem of the lab's task" in text(browser, "refused")


def test_what_users_write_is_text_and_nothing_else(browser):
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    with Serving(Settings(Scripted())) as served:
        ask(served.client, [{"role": "user", "content": evil}])
        opened(browser, served.url)
        until(browser, "document.querySelector('#requests li')")
        assert text(browser, "prompt") == evil
        assert browser.js("document.querySelectorAll('main img, main script').length") == 0
        assert not complaints(browser)
