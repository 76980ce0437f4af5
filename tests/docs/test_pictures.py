"""The pictures of the pages: small, described, and drawn from what the pages say was measured."""

import importlib.util
import re

import matplotlib
import pytest
from support.pages import DOCS, ROOT
from support.zoo import BACKEND

pytestmark = pytest.mark.skipif(BACKEND != "tensorflow", reason="once is enough")
IMAGES = DOCS / "images"
PAGES = [*DOCS.rglob("*.md"), ROOT / "README.md"]
RESULTS = (DOCS / "results.md").read_text()


@pytest.fixture(scope="module")
def pictures():
    spec = importlib.util.spec_from_file_location("tools_pictures", ROOT / "tools" / "pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_picture_is_small_and_shown():
    shown = {
        match.split("/")[-1] for page in PAGES for match in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text())
    }
    assert {path.name for path in IMAGES.iterdir()} == shown
    for path in IMAGES.iterdir():
        assert path.stat().st_size < 100_000
        assert "<script" not in path.read_text()


@pytest.mark.parametrize("page", ["index.md", "tutorial.md", "results.md"])
def test_these_pages_have_pictures_of_what_was_measured(page):
    assert re.search(r"!\[[^\]]{20,}\]\(images/(tutorial|result)-\w+\.svg\)", (DOCS / page).read_text())


def test_the_sizes_are_those_of_the_table(pictures):
    (axes,) = pictures.result_files(RESULTS).axes
    files, zipped = ([bar.get_width() for bar in bars] for bars in axes.containers)
    assert (files, zipped) == ([903552, 140528, 235600], [836825, 111705, 47329])


def test_the_methods_are_those_of_the_table(pictures):
    (axes,) = pictures.result_methods(RESULTS).axes
    lines = {line.get_label(): list(map(tuple, line.get_xydata().tolist())) for line in axes.lines}
    assert list(lines)[1:] == ["weights", "channels", "layers"]
    assert lines["weights"] == [(72546, 95.79), (44063, 95.27), (25121, 90.92), (12640, 27.43)]
    assert lines["layers"] == [(72546, 95.79), (20040, 62.29)]


@pytest.mark.parametrize("name", ["result_files", "result_methods"])
def test_the_file_is_what_would_be_drawn_now(name, pictures, tmp_path):
    kept = (IMAGES / f"{name.replace('_', '-')}.svg").read_text()
    if f"Matplotlib v{matplotlib.__version__}" not in kept:
        pytest.skip("another version of matplotlib drew it")
    with matplotlib.rc_context(pictures.SETTINGS):
        getattr(pictures, name)(RESULTS).savefig(tmp_path / "new.svg", metadata={"Date": None})
    assert (tmp_path / "new.svg").read_text() == kept, "run `python tools/pictures.py results`"
