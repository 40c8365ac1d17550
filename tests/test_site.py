"""
The documentation in a real browser: pages load, pictures are shown, links resolve, nothing comes from the network.

FASTBP_SITE names the site's folder, and then nothing is skipped; else the site is where CONTRIBUTING.md builds it.
"""

import functools
import html
import http.server
import importlib
import inspect
import os
import re
import threading
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest
from browser import launched, unavailable

import fastbp.kernels as kernels
from fastbp.kernels import lecture, node

ROOT = Path(__file__).resolve().parents[1]
GALLERIES = {"gallery": ROOT / "fastbp" / "demos", "howto": ROOT / "docs" / "guides_gallery"}


class Page(HTMLParser):
    """What a page contains: anchors, links (also to files that it loads), pictures."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links, self.pictures = set(), set(), set()
        self.html = path.read_text(encoding="utf-8")
        self.feed(self.html)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.anchors |= {attrs[key] for key in ("id", "name") if attrs.get(key)}
        self.links |= {attrs[key] for key in ("href", "src") if attrs.get(key)}
        if tag == "img":
            self.pictures.add(attrs["src"])

    def text(self):
        """The words of the page."""
        return " ".join(html.unescape(re.sub(r"<[^>]*>", "", self.html)).split())


@dataclass
class Visit:
    """What went wrong while a page was open in the browser."""

    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    blank: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def folder():
    path = Path(os.environ.get("FASTBP_SITE", ROOT / "docs" / "_build" / "html")).resolve()
    if not (path / "index.html").is_file():
        unavailable(f"no site in {path}: python -m sphinx -b html docs docs/_build/html")
    return path


@pytest.fixture(scope="module")
def pages(folder):
    return {
        path.relative_to(folder).as_posix(): Page(path)
        for path in sorted(folder.rglob("*.html"))
        if "_static" not in path.parts
    }


@pytest.fixture(scope="module")
def address(folder):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # which keeps connections open

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def visits(browser, address, pages):
    """Every page, opened once."""
    seen = {name: Visit() for name in pages}
    tab = browser.new_page()
    here = [Visit()]

    def failed(request):
        if request.failure != "net::ERR_ABORTED":  # an icon, aborted when the tab loads the next page
            here[0].errors.append(f"{request.failure}: {request.url}")

    tab.on(
        "console", lambda message: here[0].errors.append(message.text) if message.type in ("error", "warning") else None
    )
    tab.on("pageerror", lambda error: here[0].errors.append(str(error)))
    tab.on("requestfailed", failed)
    tab.on(
        "response",
        lambda response: (
            here[0].errors.append(f"{response.status}: {response.url}") if response.status >= 400 else None
        ),
    )
    tab.on(
        "request",
        lambda request: here[0].foreign.append(request.url) if not request.url.startswith((address, "data:")) else None,
    )
    for name, visit in seen.items():
        here[0] = visit
        tab.goto(address + name, wait_until="load")
        visit.blank += tab.evaluate("[...document.images].filter(i => i.naturalWidth === 0).map(i => i.src)")
    return seen


def _wrong(visits, what):
    return {name: getattr(visit, what) for name, visit in visits.items() if getattr(visit, what)}


def test_pages_load_without_errors(visits):
    assert len(visits) > 50
    assert _wrong(visits, "errors") == {}


def test_pictures_are_shown(visits):
    assert _wrong(visits, "blank") == {}


def test_nothing_comes_from_the_network(visits):
    assert _wrong(visits, "foreign") == {}


def test_search_finds_a_kernel(browser, address):
    tab = browser.new_page()
    tab.goto(address + "search.html?q=hidden_delta")
    tab.locator("#search-results a[href*='fastbp.kernels.hidden_delta']").first.wait_for(timeout=10_000)


def _targets(name, page):
    """Internal links of a page, as (path in the site, anchor)."""
    for link in page.links:
        url, anchor = urldefrag(urljoin(f"http://site/{name}", link))
        parts = urlsplit(url)
        if parts.netloc == "site":
            yield unquote(parts.path.lstrip("/")), unquote(anchor)


def test_internal_links_and_anchors_resolve(folder, pages):
    broken = []
    for name, page in pages.items():
        for path, anchor in _targets(name, page):
            if not (folder / path).is_file() or (anchor and path in pages and anchor not in pages[path].anchors):
                broken.append(f"{name} -> {path}#{anchor}")
    assert broken == []


def test_every_page_is_reached_from_the_first(pages):
    reached, waiting = {"index.html"}, ["index.html"]
    while waiting:
        name = waiting.pop()
        found = {path for path, _ in _targets(name, pages[name]) if path in pages} - reached
        reached |= found
        waiting.extend(found)
    assert set(pages) - reached == set()


@pytest.mark.parametrize("gallery", GALLERIES)
def test_every_script_has_a_page_with_a_picture(pages, gallery):
    scripts = {path.stem for path in GALLERIES[gallery].glob("*.py")} - {"__init__", "runner"}
    shown = {Path(name).stem for name in pages if name.startswith(f"{gallery}/")} - {"index"}
    assert scripts
    assert shown == scripts
    for name in scripts:
        assert any(f"sphx_glr_{name}_0" in source for source in pages[f"{gallery}/{name}.html"].pictures), (
            f"{name} has no picture"
        )


@pytest.mark.parametrize(
    "name", ["fastbp", "fastbp.graph", "fastbp.plot", "fastbp.kernels", "fastbp.kernels.node", "fastbp.kernels.lecture"]
)
def test_everything_public_that_can_be_called_is_in_the_reference(pages, name):
    module = importlib.import_module(name)
    anchors = set().union(*(page.anchors for page in pages.values()))
    public = {f"{name}.{public}" for public in module.__all__ if callable(getattr(module, public))}
    assert public - anchors == set()


@pytest.mark.parametrize("module", [kernels, node, lecture], ids=lambda module: module.__name__)
def test_every_kernel_has_a_page_with_its_signature_and_summary(pages, module):
    for name in module.__all__:
        function = getattr(module, name)
        if not callable(function):
            continue
        page = f"reference/generated/{module.__name__}.{name}.html"
        text = pages[page].text()
        shown = re.search(rf"{re.escape(module.__name__)}\.{name}\(([^)]*)\)", text)
        assert shown, f"{page} has no signature"
        assert re.findall(r"(\w+)(?:=\w+)?", shown[1]) == list(inspect.signature(function).parameters)
        first_paragraph = inspect.cleandoc(function.__doc__).split("\n\n")[0]
        assert " ".join(first_paragraph.replace("`", "").split()) in text


@pytest.mark.parametrize(
    "guide",
    [
        "index.md",
        "start.md",
        "tables.md",
        "many.md",
        "optimizers.md",
        "deploy.md",
        "trust.md",
        "format.md",
        "from_lecture_to_kernel.md",
    ],
)
def test_examples_of_the_guides_run(guide, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib").use("agg")
    if guide == "many.md":
        pytest.importorskip("dask.array")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs" / guide).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert blocks
    exec("\n".join(blocks), {"__name__": guide})
