"""The report in a real browser: headless Chromium over its debugging pipe, standard library only.

Skipped where there is no Chromium. The pipe needs no port and no driver: commands go in as JSON on
one file descriptor and come out on another.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from synthetic import World, evidence
from test_report import HOSTILE, a_report, a_small_report, with_text
from test_report_sequential import a_sequential_report

from outthink.paper.claims import judge_all
from outthink.paper.evidence import Scale
from outthink.paper.findings import Findings
from outthink.paper.page import page as reproduction_page
from outthink.report import data, write
from outthink.report.reproduction import write_reproduction

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)

pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None, reason="no chromium on PATH; install it with: apt-get install chromium"
    ),
    pytest.mark.skipif(os.name == "nt", reason="file descriptors are not handed on by Windows"),
]

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
# Chromium reads commands from descriptor 3 and answers on 4; ours have other numbers.
PLUMBING = (
    "import os, sys; there, back = int(sys.argv[1]), int(sys.argv[2]);"
    "high = [os.dup2(fd, 100 + i) for i, fd in enumerate((there, back))];"
    "[os.dup2(fd, 3 + i) for i, fd in enumerate(high)];"
    "os.execvp(sys.argv[3], sys.argv[3:])"
)
KEYS = {
    "Tab": 9,
    "Enter": 13,
    "Escape": 27,
    "End": 35,
    "Home": 36,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
}


class Browser:
    """One page of one Chromium. Call it with a method of the debugging protocol."""

    def __init__(self, profile: Path) -> None:
        there_out, there_in = os.pipe()
        back_out, back_in = os.pipe()
        plumbing = (sys.executable, "-c", PLUMBING, str(there_out), str(back_in))
        self.process = subprocess.Popen(
            (*plumbing, CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"),
            pass_fds=(there_out, back_in),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(there_out)
        os.close(back_in)
        self.to, self.back = there_in, back_out
        self.unread, self.number, self.session = b"", 0, None
        self.events: list[dict[str, Any]] = []
        targets = self("Target.getTargets")["targetInfos"]
        target = next(each["targetId"] for each in targets if each["type"] == "page")
        self.session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self(f"{domain}.enable")
        self("Page.setLifecycleEventsEnabled", enabled=True)

    def close(self) -> None:
        self.session = None
        try:
            self("Browser.close")
            self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait()
            os.close(self.to)
            os.close(self.back)

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.to, data) :]
        while True:
            answer = self._read()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self.unread:
            more = os.read(self.back, 1 << 20)
            assert more, "chromium went away"
            self.unread += more
        message, _, self.unread = self.unread.partition(b"\0")
        return json.loads(message)

    def js(self, expression: str) -> Any:
        """The value of an expression; of a promise, what it is kept with."""
        result = self(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def open(self, page: Path, *, width: int = 1280, dark: bool = False, hash: str = "") -> None:
        """Load a page afresh, and wait until its script has run."""
        self("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1,
             mobile=width < 600)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", features=[scheme])
        self("Page.navigate", url="about:blank")
        self.events.clear()
        loader = self("Page.navigate", url=page.as_uri() + hash)["loaderId"]
        while not any(
            each["loaderId"] == loader and each["name"] == "load"
            for each in self.said("Page.lifecycleEvent")
        ):
            self.events.append(self._read())

    def settle(self) -> None:
        """Wait until what scrolling and navigating within the page set off has happened."""
        self.js("new Promise(go => requestAnimationFrame(() => requestAnimationFrame(go)))")

    def press(self, key: str, times: int = 1) -> None:
        for _ in range(times):
            for kind in ("rawKeyDown", "keyUp"):
                self("Input.dispatchKeyEvent", type=kind, key=key, code=key,
                     windowsVirtualKeyCode=KEYS[key])  # fmt: skip

    def said(self, *methods: str) -> list[dict[str, Any]]:
        return [each["params"] for each in self.events if each.get("method") in methods]


@pytest.fixture(scope="module")
def report():
    return a_report(trees=40)


@pytest.fixture(scope="module")
def page(tmp_path_factory, report):
    path = tmp_path_factory.mktemp("page") / "report.html"
    write(report, path)
    return path


@pytest.fixture(scope="module")
def sequential_page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "sequential.html"
    write(a_sequential_report(), path)
    return path


def complaints(browser: Browser) -> list[dict[str, Any]]:
    return browser.said("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")


@pytest.mark.parametrize("width", [1280, 360])
def test_it_opens_from_disk_and_asks_for_nothing(browser, page, width):
    browser.open(page, width=width)
    requests = [each["request"]["url"] for each in browser.said("Network.requestWillBeSent")]
    assert [url for url in requests if not url.startswith("data:")] == [page.as_uri()]
    assert complaints(browser) == []


@pytest.mark.parametrize("width", [320, 360, 700, 801, 1280])
def test_the_page_never_scrolls_sideways(browser, page, width):
    browser.open(page, width=width)
    browser.js("document.querySelectorAll('details').forEach(each => each.open = true)")
    browser.js("[...document.querySelectorAll('.row.group')].forEach(each => each.click())")
    box = "document.documentElement"
    assert browser.js(f"{box}.scrollWidth - {box}.clientWidth") == 0


def test_a_report_of_nothing_opens(browser, tmp_path):
    path = tmp_path / "report.html"
    write(replace(a_small_report(), curves=(), comparison=None), path)
    browser.open(path)
    assert complaints(browser) == []
    assert browser.js("document.querySelectorAll('section').length") == 1


@pytest.mark.parametrize("text", HOSTILE[:5])
def test_text_is_shown_and_never_run(browser, tmp_path, text):
    path = tmp_path / "report.html"
    write(with_text(text.replace("alert(1)", "window.ran=1")), path)
    browser.open(path)
    assert complaints(browser) == []
    assert browser.js("window.ran") is None
    shown = browser.js("document.querySelector('.about .text').textContent")
    assert shown == text.replace("alert(1)", "window.ran=1")
    step = browser.js("document.querySelector('.row.chosen .text').textContent")
    assert step.startswith(shown)


# Light and dark ----------------------------------------------------------------------------------


def brightness(browser: Browser) -> int:
    colour = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g)"
    return browser.js(f"{colour}.slice(0, 3).reduce((sum, each) => sum + +each, 0)")


def test_it_follows_the_system_and_the_button_overrides_it(browser, page):
    browser.open(page, dark=False)
    assert brightness(browser) > 700
    browser.open(page, dark=True)
    assert brightness(browser) < 100
    browser.js("document.querySelector('#theme').click()")
    assert brightness(browser) > 700
    browser.js("document.querySelector('#theme').click()")
    assert browser.js("document.querySelector('#theme').textContent") == "Theme: dark"
    browser.open(page, dark=False)
    assert brightness(browser) < 100  # remembered
    browser.js("document.querySelector('#theme').click()")
    assert brightness(browser) > 700


CONTRAST = """(() => {
  const light = (c) => { const [r, g, b] = c.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const rgb = (text) => { const v = text.match(/[\\d.]+/g).map(Number);
    return text.startsWith("color(") ? [...v.slice(0, 3).map((x) => 255 * x), v[3] ?? 1] : [...v.slice(0, 3), v[3] ?? 1]; };
  const ground = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] > 0.99) return c; } };
  const poor = [];
  for (const e of document.querySelectorAll("p,dt,dd,th,td,a,button,summary,label,li,.name,.interval,.line2,.badge,.text,.marks span,svg text")) {
    if (!e.getClientRects().length || !e.textContent.trim()) continue;
    const style = getComputedStyle(e), ink = rgb(e.closest("svg") ? style.fill : style.color), paper = ground(e);
    const [a, b] = [light(ink.slice(0, 3)), light(paper.slice(0, 3))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) poor.push(`${e.tagName}.${e.className.baseVal ?? e.className} ${e.textContent.slice(0, 20)} ${((a + 0.05) / (b + 0.05)).toFixed(2)}`);
  }
  return poor.slice(0, 9);
})()"""  # noqa: E501


@pytest.mark.parametrize("dark", [False, True])
def test_all_text_stands_out_from_its_ground(browser, page, dark):
    browser.open(page, dark=dark)
    assert browser.js(CONTRAST) == []


# Figures -----------------------------------------------------------------------------------------

OVERLAPS = """(() => {
  const found = [];
  for (const svg of document.querySelectorAll("svg.chart")) {
    if (!svg.getClientRects().length) continue;
    const texts = [...svg.querySelectorAll("text")].filter((t) => t.getClientRects().length);
    const boxes = texts.map((t) => t.getBoundingClientRect());
    boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b, j) => {
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (wide > 1 && high > 4) found.push(`${texts[i].textContent} / ${texts[i + 1 + j].textContent}`);
    }));
    const edge = svg.getBoundingClientRect();
    boxes.forEach((a, i) => { if (a.right > edge.right + 1 || a.left < edge.left - 1) found.push(`cut: ${texts[i].textContent}`); });
  }
  return found;
})()"""  # noqa: E501


@pytest.mark.parametrize("width", [360, 820, 1280])
def test_no_label_lies_on_another_or_past_the_edge(browser, page, width):
    browser.open(page, width=width)
    assert browser.js(OVERLAPS) == []


def told(browser: Browser) -> str:
    shown = "document.querySelector('#tip.on')"
    return browser.js(f"{shown} ? {shown}.innerText : ''")


def test_pointing_at_a_budget_tells_its_values(browser, page, report):
    browser.open(page)
    hit = "document.querySelectorAll('#accuracy svg.wide .hit')[4]"
    browser.js(f"{hit}.scrollIntoView({{block: 'center'}})")
    browser.settle()
    place = browser.js(
        f"(box => [box.x + box.width / 2, box.y + box.height / 2])({hit}.getBoundingClientRect())"
    )
    browser("Input.dispatchMouseEvent", type="mouseMoved", x=place[0], y=place[1])
    shown = told(browser)
    assert "16 generations" in shown
    for curve in report.curves:
        assert f"{100 * curve.points[4].accuracy:.1f}\u202f%" in shown


def test_a_figure_is_one_stop_of_tab_and_arrows_move_in_it(browser, page):
    browser.open(page)
    browser.js("document.querySelector('#theme').focus()")
    browser.press("Tab")
    assert "1 generation" in told(browser)
    browser.press("ArrowRight", times=2)
    assert "4 generations" in told(browser)
    browser.press("End")
    assert "256 generations" in told(browser)
    browser.press("Escape")
    assert told(browser) == ""
    browser.press("Tab")
    assert browser.js("document.activeElement.tagName") == "SUMMARY"


def test_choosers_change_what_is_shown(browser, page):
    browser.open(page)
    browser.js("document.querySelector('.budget-choice input[value=\"64\"]').click()")
    assert browser.js("document.querySelector('.bars.on').dataset.budget") == "64"
    browser.js("document.querySelector('.scale-choice input[value=own]').click()")
    seen = "document.querySelector('.scale-{}').getClientRects().length"
    assert browser.js(seen.format("own")) and not browser.js(seen.format("shared"))
    arrows = "[...document.querySelectorAll('svg.wide .cef.on text')].map(each => each.textContent)"
    before = browser.js(arrows)
    browser.js(
        "(() => { const choice = document.querySelector('.arrow-choice'); choice.value = '2';"
        "choice.dispatchEvent(new Event('change')); })()"
    )
    assert len(browser.js(arrows)) == 1 and browser.js(arrows) != before


def test_a_legend_entry_brings_its_line_to_the_front(browser, page):
    browser.open(page, width=360)
    browser.js("document.querySelectorAll('#accuracy .legend button')[2].click()")
    lines = "document.querySelectorAll('#accuracy svg.narrow .series.alone')"
    alone = f"[...{lines}].map(line => line.dataset.series)"
    assert browser.js(alone) == ["s2"]
    pressed = "document.querySelectorAll('#accuracy .legend button')[2].ariaPressed"
    assert browser.js(pressed) == "true"
    browser.js("document.querySelectorAll('#accuracy .legend button')[2].click()")
    assert browser.js(alone) == []


def test_a_figure_can_be_saved_with_its_colours(browser, page):
    browser.open(page)
    browser.js(
        "URL.createObjectURL = (blob) => { window.blob = blob; return '#'; };"
        "document.querySelector('#figure-policy .save').click()"
    )
    saved = browser.js("window.blob.text()")
    assert saved.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert "stroke:rgb" in saved.replace(" ", "") and "var(" not in saved


# Explorer ----------------------------------------------------------------------------------------


def chosen_texts(tree) -> list[str]:
    return [node.text.strip() for node in tree.nodes if node.on_chosen_path]


ROWS = "[...document.querySelectorAll('.row{}')].filter(each => !each.hidden)"


@pytest.mark.parametrize("width", [360, 1280])
def test_a_link_opens_a_tree_and_its_chosen_path_is_marked(browser, page, report, width):
    tree = report.trees[17]
    browser.open(page, width=width, hash=f"#tree={tree.problem_id.replace('/', '%2F')}")
    assert browser.js("document.querySelector('#tree h3').textContent") == tree.problem_id
    shown = ROWS.format(".chosen") + ".map(each => each.querySelector('.text').textContent)"
    assert browser.js(shown) == chosen_texts(tree)
    stars = ROWS.format(".chosen") + ".every(each => each.innerText.includes('\u2605 chosen'))"
    assert browser.js(stars)
    assert browser.js("document.querySelectorAll('.map circle.chosen').length") == len(
        chosen_texts(tree)
    )
    facts = browser.js("document.querySelector('.about').innerText")
    for fact in (tree.prompt, tree.reference, tree.answer, "right" if tree.right else "wrong"):
        assert fact in facts
    box = "document.querySelector('#tree').getBoundingClientRect()"
    assert browser.js(f"{box}.top < innerHeight && {box}.bottom > 0")  # and it is in sight


def test_every_step_is_in_the_tree_once_folded_out(browser, page, report):
    tree = max(report.trees, key=lambda each: len(each.nodes))
    browser.open(page, hash=f"#tree={tree.problem_id.replace('/', '%2F')}")
    assert browser.js(ROWS.format("") + ".length") < len(tree.nodes)
    browser.js("document.querySelector('.tree-tools button').click()")
    shown = ROWS.format(":not(.group)") + ".map(each => each.querySelector('.text').textContent)"
    counts = ROWS.format(":not(.group)") + (
        ".map(each => +(each.innerText.match(/\u00d7(\\d+)/)?.[1] ?? 1)).reduce((a, b) => a + b)"
    )
    assert set(browser.js(shown)) == {node.text.strip() for node in tree.nodes}
    assert browser.js(counts) == len(tree.nodes)


def test_filters_narrow_the_list(browser, page, report):
    browser.open(page)
    shown = "[...document.querySelectorAll('.problems li')].filter(each => !each.hidden).length"
    assert browser.js(shown) == 40

    def pick(control: str, value: str) -> int:
        browser.js(
            f"(() => {{ const control = document.querySelector('#{control}');"
            f"control.value = {json.dumps(value)};"
            "control.dispatchEvent(new Event('input', {bubbles: true})); })()"
        )
        return browser.js(shown)

    wrong = [tree for tree in report.trees if not tree.right]
    assert pick("result", "wrong") == len(wrong)
    hard = [tree for tree in wrong if tree.bin == 5]
    assert pick("bin", "5") == len(hard)
    assert pick("find", hard[0].problem_id.upper()) == 1
    assert "1 of 40" in browser.js("document.querySelector('.explorer .count').textContent")
    assert pick("find", "no such thing") == 0
    assert "clear a filter" in browser.js("document.querySelector('.explorer .count').textContent")


def test_the_explorer_is_worked_with_the_keyboard(browser, page, report):
    browser.open(page)
    browser.js("document.querySelector('.problems a[aria-current]').focus()")
    browser.press("ArrowDown", times=2)
    browser("Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter",
            windowsVirtualKeyCode=13, text="\r")  # fmt: skip
    browser.settle()
    title = "document.querySelector('#tree h3').textContent"
    assert browser.js(title) == report.trees[2].problem_id
    browser.press("Tab", times=3)  # past both buttons, into the tree
    focused = "document.activeElement.className"
    assert browser.js(focused).startswith("row")
    browser.js("document.querySelector('.row.group').focus()")
    before = browser.js(ROWS.format("") + ".length")
    browser.press("ArrowRight")
    assert browser.js("document.activeElement.ariaExpanded") == "true"
    assert browser.js(ROWS.format("") + ".length") > before
    browser.press("ArrowRight")
    assert "group" not in browser.js(focused)
    browser.press("ArrowLeft", times=2)
    assert browser.js(ROWS.format("") + ".length") == before
    browser.press("End")
    assert "chosen" in browser.js(focused)


def test_a_dot_of_the_map_opens_its_step(browser, page, report):
    tree = next(each for each in report.trees if any(not node.kept for node in each.nodes))
    browser.open(page, hash=f"#tree={tree.problem_id.replace('/', '%2F')}")
    browser.js(
        "document.querySelector('.map circle.pruned').dispatchEvent("
        "new MouseEvent('click', {bubbles: true}))"
    )
    assert "pruned" in browser.js("document.activeElement.className")
    assert browser.js("document.activeElement.getClientRects().length")


# The page of a reproduction ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def reproduction(tmp_path_factory):
    scale = Scale(120, 16, 16, 4, 8, 4, (1, 4), 0, 40, 40, 16)
    findings = Findings(evidence(World(problems=120), scale))
    shown = reproduction_page(
        findings,
        judge_all(findings),
        provenance=data.Provenance("s", ("prm",), "synthetic", 120, 0, "0", "outthink reproduce"),
    )
    path = tmp_path_factory.mktemp("reproduction") / "reproduction.html"
    write_reproduction(shown, path)
    return path


@pytest.mark.parametrize("width", [320, 360, 801, 1280])
def test_a_reproduction_opens_asks_for_nothing_and_never_scrolls_sideways(
    browser, reproduction, width
):
    browser.open(reproduction, width=width)
    requests = [each["request"]["url"] for each in browser.said("Network.requestWillBeSent")]
    assert [url for url in requests if not url.startswith("data:")] == [reproduction.as_uri()]
    assert complaints(browser) == []
    browser.js("document.querySelectorAll('details').forEach(each => each.open = true)")
    box = "document.documentElement"
    assert browser.js(f"{box}.scrollWidth - {box}.clientWidth") == 0


@pytest.mark.parametrize("dark", [False, True])
def test_a_reproduction_can_be_read_in_light_and_dark(browser, reproduction, dark):
    browser.open(reproduction, dark=dark)
    assert browser.js(CONTRAST) == []


def test_claims_are_filtered_by_verdict_and_a_link_shows_a_hidden_one(browser, reproduction):
    browser.open(reproduction)
    seen = "[...document.querySelectorAll('.claim')].filter(each => !each.hidden)"
    assert browser.js(f"{seen}.length") == 45
    refuted = browser.js("document.querySelectorAll('.claim[data-verdict=refuted]').length")
    assert 0 < refuted < 45
    browser.js("document.querySelector('.verdict-choice input[value=refuted]').click()")
    assert browser.js(f"{seen}.length") == refuted
    hidden = browser.js("document.querySelector('.claim:not([data-verdict=refuted]) h4').id")
    browser.js(f"document.querySelector('.chips a[href=\"#{hidden}\"]').click()")
    browser.settle()
    assert browser.js(f"{seen}.length") == 45
    box = f"document.getElementById('{hidden}').getBoundingClientRect()"
    assert browser.js(f"{box}.top >= 0 && {box}.bottom <= innerHeight")


def test_bars_and_lines_of_a_reproduction_tell_their_values(browser, reproduction):
    browser.open(reproduction)
    hits = "document.querySelectorAll('#figure-exchange-search .wide .hit')"
    assert browser.js(f"{hits}.length") == 18
    told = browser.js(f"{hits}[1].ariaLabel")
    assert "R = 0.16" in told and "bin 1" in told


# With a sequential policy ------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1280, 320])
def test_a_page_with_a_sequential_policy_opens_and_asks_for_nothing(
    browser, sequential_page, width
):
    browser.open(sequential_page, width=width)
    requests = [each["request"]["url"] for each in browser.said("Network.requestWillBeSent")]
    assert [url for url in requests if not url.startswith("data:")] == [sequential_page.as_uri()]
    assert complaints(browser) == []


@pytest.mark.parametrize("width", [320, 820, 1280])
def test_it_never_scrolls_sideways_and_no_label_lies_on_another(browser, sequential_page, width):
    browser.open(sequential_page, width=width)
    browser.js("document.querySelectorAll('details').forEach(each => each.open = true)")
    box = "document.documentElement"
    assert browser.js(f"{box}.scrollWidth - {box}.clientWidth") == 0
    assert browser.js(OVERLAPS) == []


@pytest.mark.parametrize("dark", [False, True])
def test_its_text_stands_out_from_its_ground(browser, sequential_page, dark):
    browser.open(sequential_page, dark=dark)
    assert browser.js(CONTRAST) == []


def test_pointing_at_the_frontier_tells_the_policy_and_what_costs_as_much(browser, sequential_page):
    browser.open(sequential_page)
    hit = "document.querySelectorAll('#frontier svg.wide .hit')[0]"
    browser.js(f"{hit}.scrollIntoView({{block: 'center'}})")
    browser.settle()
    place = browser.js(
        f"(box => [box.x + box.width / 2, box.y + box.height / 2])({hit}.getBoundingClientRect())"
    )
    browser("Input.dispatchMouseEvent", type="mouseMoved", x=place[0], y=place[1])
    assert "generations a problem" in told(browser)
    assert "best-of-N" in told(browser)
