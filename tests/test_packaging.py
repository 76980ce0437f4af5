"""What `pip` is told of the package: extras that stand beside each other, and a description without dead links."""

import functools
import importlib.metadata
import itertools
import re
import runpy
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
TENSORFLOWS = {"tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tensorflow-rocm", "tf-nightly", "tf-nightly-cpu"}
BRINGS = {"tf-keras": ["tensorflow"], "tensorflow-model-optimization": ["tf-keras"]}  # if they are not installed here
WITH_TENSORFLOW = {"tflite", "tflite-cpu", "tfmot"}  # the last for an environment of its own


@functools.cache
def requirements_of(name, extras):
    """What a package asks for, by its metadata."""
    if name == PROJECT["name"]:
        lines = PROJECT["dependencies"] + [line for extra in extras for line in EXTRAS[extra]]
    else:
        try:
            lines = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            lines = BRINGS.get(name, [])
    requirements = [Requirement(line) for line in lines]
    return [
        (canonicalize_name(each.name), frozenset(each.extras))
        for each in requirements
        if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in extras or {""})
    ]


def closure(extras):
    """The names of all packages that `pip install ".[extras]"` brings."""
    seen, waiting = set(), [(PROJECT["name"], frozenset(extras))]
    while waiting:
        found = waiting.pop()
        if found not in seen:
            seen.add(found)
            waiting += requirements_of(*found)
    return {name for name, _ in seen}


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_has_one_tensorflow_or_none(extra):
    assert len(closure([extra]) & TENSORFLOWS) == (extra in WITH_TENSORFLOW)


@pytest.mark.parametrize("pair", [*itertools.combinations(sorted(set(EXTRAS) - {"tfmot"}), 2)], ids="+".join)
def test_two_extras_never_bring_two_tensorflows(pair):
    found = closure(pair) & TENSORFLOWS
    assert len(found) == len(WITH_TENSORFLOW & set(pair))
    if len(found) == 2:
        assert set(pair) == {"tflite", "tflite-cpu"}  # which README tells to choose from


def test_readme_names_the_extras_for_users_and_only_extras_that_exist():
    readme = (ROOT / "README.md").read_text()
    for extra in set(EXTRAS) - {"test", "dev", "docs", "tfmot", "torch-pruning"}:
        assert f"`{extra}`" in readme
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.py"), ROOT / "Makefile"]
    for page in pages:
        for asked in re.findall(r'"\.\[([\w,-]+)\]"', page.read_text()):
            assert set(asked.split(",")) <= set(EXTRAS), page


def test_no_message_or_page_installs_the_package_from_an_index():
    here = Path(__file__).resolve()
    kinds = {".py", ".md", ".ipynb", ".toml", ".cc", ".yml"}
    for folder in ("keras_prune", "tflite_export", "docs", "examples", "tools", "benchmarks", "tests", "."):
        files = (ROOT / folder).rglob("*") if folder != "." else ROOT.glob("*.md")
        for path in files:
            if path.suffix in kinds and path.resolve() != here and path.name != "CHANGELOG.md":
                asked = re.findall(r"pip install\b[^\n`]*\bkeras[-_]prune\b(?!/)", path.read_text(encoding="utf-8"))
                assert not asked, path


def long_description(monkeypatch):
    setuptools = pytest.importorskip("setuptools")
    told = {}
    monkeypatch.setattr(setuptools, "setup", told.update)
    monkeypatch.setattr(sys, "argv", ["setup.py"])
    runpy.run_path(str(ROOT / "setup.py"))
    return told["long_description"]


def test_the_description_has_no_link_into_the_repository(monkeypatch):
    readme = (ROOT / "README.md").read_text()
    text = long_description(monkeypatch)
    assert not [target for target in re.findall(r"\]\(([^)\s]+)", text) if not re.match("https?:", target)]
    assert "![" not in text
    assert re.findall(r"^#+ .*$", text, re.M) == re.findall(r"^#+ .*$", readme, re.M)
    assert re.findall(r"^```.*?^```$", text, re.M | re.S) == re.findall(r"^```.*?^```$", readme, re.M | re.S)


def test_readmes_links_lead_to_files():
    for target in re.findall(r"\]\(([^)\s#]+)", (ROOT / "README.md").read_text()):
        assert re.match("https?:", target) or (ROOT / target).is_file(), target
