"""The site of docs/: built strictly, it needs no network, and its search works from a folder too."""

import html
import importlib.util
import re
import shutil
import subprocess
import sys

import pytest
from support.pages import DOCS, ROOT
from support.zoo import BACKEND

import keras_prune as kp

pytestmark = pytest.mark.skipif(BACKEND != "tensorflow", reason="once is enough")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# Types into the search, and keeps in the page what it finds: the search draws into a shadow root.
SEARCH = """<script>
const root = () => [...document.body.children].map((each) => each.shadowRoot).find((each) => each);
setTimeout(() => document.querySelector(".md-search__button").click(), 1500);
setTimeout(() => {
  const input = root().querySelector("input");
  input.value = "representative_data";
  input.dispatchEvent(new Event("input", { bubbles: true }));
}, 3000);
setTimeout(() => {
  document.body.dataset.found = [...root().querySelectorAll("a")].map((each) => each.href).join(" ");
}, 6000);
</script>"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if importlib.util.find_spec("zensical") is None:
        pytest.skip("no zensical: pip install .[docs]")
    folder = tmp_path_factory.mktemp("site")
    for name in ("docs", "keras_prune", "tflite_export", "tools"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "mkdocs.yml", folder)
    subprocess.run([sys.executable, "-m", "zensical", "build", "--strict"], cwd=folder, check=True)
    return folder / "site"


def test_the_site_is_built_strictly_and_needs_no_network(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) >= len(list(DOCS.rglob("*.md")))
    loaded = re.compile(r'<(?:script|img|iframe)[^>]+src="https?:|<link[^>]+rel="stylesheet"[^>]+href="https?:')
    assert [page for page in pages if loaded.search(page.read_text())] == []


def test_the_version_and_the_source_are_on_every_page(site):
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert f"Version {kp.__version__}. Source: " in text
    assert f"of version {kp.__version__}." in (DOCS / "index.md").read_text()
    assert "<code>keras_prune</code>" in text


def test_a_page_in_a_folder_loads_the_index_and_the_stand_in_for_workers(site):
    assert (site / "search.js").read_text().startswith("var __index = ")
    for page in site.rglob("*.html"):
        scripts = re.findall(r'<script src="([^"]+)"', page.read_text())
        assert any(script.endswith("javascripts/iframe-worker.js") for script in scripts)
        assert not any("://" in script for script in scripts)
    assert (site / "javascripts" / "iframe-worker.js").is_file()


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_the_search_finds_pages_that_were_opened_from_a_folder(site):
    page = site / "guides" / "with_search.html"
    page.write_text((site / "guides" / "export.html").read_text().replace("</body>", f"{SEARCH}</body>"))
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom")
    found = subprocess.run([BROWSER, *options, page.as_uri()], capture_output=True, text=True, timeout=120).stdout
    page.unlink()
    (links,) = re.findall(r'data-found="([^"]*)"', found)
    links = html.unescape(links).split()
    assert any("guides/export.html" in link for link in links)
    assert any("api/tflite_export.html" in link for link in links)
    assert all(link.startswith("file://") for link in links)
