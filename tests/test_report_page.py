"""The HTML report in a browser, as a person would use it: no network, sort, filter, keyboard, phone, contrast."""

import base64
import hashlib
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser import Browser, find_browser
from dlmi_reports import write_report
from dlmi_reports.front.methods import METHODS
from report_stores import fill_store

pytestmark = pytest.mark.slow
AXE = "4.14.1"
AXE_SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="


CLAIM = """
[[claim]]
id = "{id}"
kind = "ordered"
task = "toy"
model = "{model}"
against = ["{other}"]
sentence = "{model} has fewer parameters than {other}."
source = "this test"
"""
CLAIMS = CLAIM.format(id="fewer", model="small", other="large") + CLAIM.format(id="more", model="large", other="small")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    store = fill_store(folder / "out")
    (store.folder / "claims.toml").write_text(CLAIMS)
    return write_report(store, folder, ["html"])[0]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium here; apt-get install chromium")
    opened = Browser(program, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.mark.parametrize(("width", "is_dark"), [(1300, False), (360, False), (1300, True)])
def test_page_loads_alone_and_fits(browser: Browser, page: Path, width: int, is_dark: bool) -> None:
    """No error, no request, nothing wider than the screen; dark is dark."""
    browser.open(page, width=width, is_dark=is_dark)
    assert browser.run("document.documentElement.scrollWidth") <= width
    red = browser.run("Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])")
    assert (red < 60) == is_dark
    assert browser.list_problems() == []
    if folder := os.environ.get("DLMI_BENCH_SCREENSHOTS"):
        browser.screenshot(Path(folder) / f"report-{width}{'-dark' if is_dark else ''}.png")


def test_keyboard_sorts_by_value_not_by_letters(browser: Browser, page: Path) -> None:
    """Tab reaches a header's button, Enter sorts: parameters up, then down; aria-sort says so."""
    browser.open(page)
    browser.run("document.querySelector('table[aria-label=Accuracy] thead th:nth-child(1) button').focus()")
    browser.press("Tab", 9)
    assert browser.run("document.activeElement.textContent") == "parameters"
    column = (
        "[...document.querySelectorAll('table[aria-label=Accuracy] tbody tr')].map(r => Number(r.cells[1].dataset.key))"
    )
    orders = []
    for _ in range(2):
        browser.press("Enter", 13, "\r")
        orders.append(browser.run(column))
        orders.append(browser.run("document.activeElement.parentElement.ariaSort"))
    assert orders == [sorted(orders[0]), "ascending", sorted(orders[0], reverse=True), "descending"]
    assert len(set(orders[0])) > 1


def test_filter_hides_rows_and_counts(browser: Browser, page: Path) -> None:
    """Rows without the words go, the count says how many stay."""
    browser.open(page)
    browser.run("document.querySelector('input[aria-label=\"Filter Accuracy\"]').focus()")
    browser.send("Input.insertText", text="SMALL")
    shown = (
        "[...document.querySelectorAll('table[aria-label=Accuracy] tbody tr')]"
        ".filter(r => !r.hidden).map(r => r.cells[0].innerText)"
    )
    assert browser.run(shown) == ["small"]
    assert browser.run("document.activeElement.nextSibling.textContent").startswith("1 of ")


def test_plots_have_words_and_titles(browser: Browser, page: Path) -> None:
    """Every plot is an image with a text alternative; points answer to the pointer."""
    browser.open(page)
    assert browser.run("document.querySelectorAll('svg').length") >= 5
    lone = "[...document.querySelectorAll('svg')].filter(s => s.closest('[role=img]')?.ariaLabel?.length > 40).length"
    assert browser.run(lone) == browser.run("document.querySelectorAll('svg').length")
    assert browser.run("document.querySelectorAll('svg title').length") >= 8
    assert browser.run("document.querySelectorAll('script').length") == 1


def test_first_screen_is_the_answer(browser: Browser, page: Path) -> None:
    """A plot and the joined table begin on the first screen; one section and one plot of it show."""
    browser.open(page, width=1300)
    assert browser.run("document.querySelector('.glance figure').getBoundingClientRect().top") < 600
    assert browser.run("document.querySelector('.glance table').getBoundingClientRect().top") < 600
    shown = "[...document.querySelectorAll('{}')].filter(e => e.offsetParent).length"
    assert browser.run(shown.format("main > section")) == 1
    assert browser.run(shown.format(".view")) == 1


def test_switch_shows_another_cost(browser: Browser, page: Path) -> None:
    """The pressed button names the plot that shows."""
    browser.open(page)
    browser.run("document.querySelectorAll('.switch button')[1].click()")
    pressed = browser.run("document.querySelector('.switch button[aria-pressed=true]').textContent")
    shown = browser.run("[...document.querySelectorAll('.view')].filter(e => e.offsetParent)[0].innerText")
    assert pressed == "parameters"
    assert "parameters" in shown


def test_links_lead_into_tabs_and_folds(browser: Browser, page: Path) -> None:
    """A tab by its name; a claim by its identifier opens what is folded around it; the way back works."""
    browser.open(page)
    browser.run("[...document.querySelectorAll('nav a')].find(a => a.textContent === 'Claims').click()")
    current = "document.querySelector('nav a[aria-current]').textContent"
    assert browser.run(f"new Promise(r => setTimeout(() => r({current}), 50))") == "Claims"
    name = browser.run("document.querySelector('.claim').id")
    browser.run("location.hash = ''; 0")
    browser.run(f"location.hash = '#{name}'; 0")
    is_open = f"document.getElementById('{name}').open"
    assert browser.run(f"new Promise(r => setTimeout(() => r({is_open}), 50))") is True
    assert browser.run(current) == "Claims"


def test_claims_are_filtered_by_state(browser: Browser, page: Path) -> None:
    """Each button counts what it shows."""
    browser.open(page)
    for index in range(browser.run("document.querySelectorAll('.filter button').length")):
        browser.run(f"document.querySelectorAll('.filter button')[{index}].click()")
        said = browser.run(f"document.querySelectorAll('.filter button')[{index}].textContent")
        shown = browser.run("[...document.querySelectorAll('.claim')].filter(claim => !claim.hidden).length")
        assert said.endswith(f"({shown})")


def test_method_opens_where_a_figure_stands(browser: Browser, page: Path) -> None:
    """By keyboard, each button the paragraph of its name; Escape closes it."""
    browser.open(page)
    names = browser.run("[...new Set([...document.querySelectorAll('.how button')].map(b => b.textContent))]")
    assert {"accuracy", "latency", "counts", "claims"} <= set(names)
    visible = "[...document.querySelectorAll('.method')].filter(e => e.matches(':popover-open')).map(e => e.innerText)"
    for name in ("accuracy", "latency"):
        browser.run(f"[...document.querySelectorAll('.how button')].find(b => b.textContent === '{name}').focus()")
        browser.press("Enter", 13, "\r")
        (text,) = browser.run(visible)
        assert METHODS[name] in " ".join(text.split())
        browser.press("Escape", 27)
        assert browser.run(visible) == []


@pytest.mark.parametrize("is_dark", [False, True])
def test_axe_finds_nothing(browser: Browser, page: Path, is_dark: bool) -> None:
    """axe-core, all rules, contrast included, light and dark."""
    archive = Path(os.environ.get("DLMI_BENCH_AXE", f"axe-core-{AXE}.tgz"))
    if not archive.is_file():
        pytest.skip(f"no axe-core; npm pack axe-core@{AXE}, and name the file in DLMI_BENCH_AXE")
    assert base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() == AXE_SHA512
    with tarfile.open(archive) as tar:
        member = tar.extractfile("package/axe.min.js")
        assert member is not None
        script = member.read().decode()
    browser.open(page, is_dark=is_dark)
    browser.run(script + ";0")
    found = browser.run("axe.run().then(r => [r.passes.length, r.violations.map(v => v.id + ': ' + v.nodes[0].html)])")
    assert found[0] > 10
    assert found[1] == []
