"""The guide as `nox -s docs` built it: it loads nothing from elsewhere, links lead somewhere, search works."""

import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

from browser import Browser, find_browser

SITE = Path(os.environ.get("DLMI_BENCH_SITE", Path(__file__).parent.parent / "out" / "docs"))
PAGES = sorted(SITE.rglob("*.html"))
LOADING = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "srcset")}

# The list of what was found, as soon as something is in it.
FOUND = """new Promise(done => {
  const results = document.querySelector("#search-results");
  const look = () => results.innerText.includes("Search finished") && done(results.innerText);
  new MutationObserver(look).observe(results, { childList: true, subtree: true });
  look();
  setTimeout(() => done("nothing was found"), 30000);
})"""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PAGES, reason="the site is not built")]


class Reading(HTMLParser):
    """What a page loads, where it links to, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if (tag, name) in LOADING and value:
                self.loads.append(value)
            elif (tag, name) == ("a", "href") and value:
                self.links.append(value)
            elif name == "id" and value:
                self.anchors.add(value)


@pytest.fixture(scope="module")
def readings() -> dict[Path, Reading]:
    return {page: Reading(page.read_text(encoding="utf-8")) for page in PAGES}


def list_broken(readings: dict[Path, Reading]) -> Iterator[str]:
    """List links to files of the site that are not there, and to anchors that their page lacks."""
    for page, reading in readings.items():
        for link in (link for link in reading.links if not re.match(r"\w+:", link)):
            path, anchor = urldefrag(unquote(link))
            target = (page.parent / path).resolve() if path else page
            if not target.exists():
                yield f"{page.relative_to(SITE)}: {link}"
            elif anchor and target.suffix == ".html" and target in readings and anchor not in readings[target].anchors:
                yield f"{page.relative_to(SITE)}: no {link}"


def test_links_lead_somewhere(readings: dict[Path, Reading]) -> None:
    assert sum(len(reading.links) for reading in readings.values()) > 1000
    assert not list(list_broken(readings))


def test_pages_load_nothing_from_elsewhere(readings: dict[Path, Reading]) -> None:
    """Scripts, styles, pictures and fonts are files of the site."""
    found = [(page, load) for page, reading in readings.items() for load in reading.loads]
    for path in SITE.rglob("*.css"):
        urls = re.findall(r"url\(([^)]+)\)", path.read_text(encoding="utf-8"))
        found += [(path, url.strip("\"'")) for url in urls]
    assert len(found) > 200
    for path, load in found:
        if not load.startswith(("data:", "#")):
            name = unquote(urldefrag(load).url.partition("?")[0])
            assert not re.match(r"\w+:|//", load), f"{path.name}: {load}"
            assert not name or (path.parent / name).exists(), f"{path.name}: {load}"


@pytest.mark.skipif(find_browser() is None, reason="no Chromium")
def test_search_works_from_a_file(tmp_path: Path) -> None:
    """Without a server; the only requests are for files."""
    browser = Browser(find_browser() or "", tmp_path)
    try:
        browser.open(SITE / "search.html", query="?q=percentiles+latency")
        text = browser.run(FOUND)
        problems = browser.list_problems()
    finally:
        browser.close()
    assert "Latency" in text
    assert not problems
