"""What `pip` is told of the package: extras that stand beside each other, and a description without dead links."""

import functools
import importlib.metadata
import itertools
import os
import re
import runpy
import subprocess
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
BRINGS = {  # if they are not installed here
    "tf-keras": ["tensorflow"],
    "tensorflow-model-optimization": ["tf-keras"],
    "keras-hub": ["tensorflow-text"],
    "tensorflow-text": ["tensorflow"],
}
ALONE = {"tfmot", "hub"}  # for environments of their own
WITH_TENSORFLOW = {"tflite", "tflite-cpu"} | ALONE


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


@pytest.mark.parametrize("pair", [*itertools.combinations(sorted(set(EXTRAS) - ALONE), 2)], ids="+".join)
def test_two_extras_never_bring_two_tensorflows(pair):
    found = closure(pair) & TENSORFLOWS
    assert len(found) == len(WITH_TENSORFLOW & set(pair))
    if len(found) == 2:
        assert set(pair) == {"tflite", "tflite-cpu"}  # which README tells to choose from


def test_readme_names_the_extras_for_users_and_only_extras_that_exist():
    readme = (ROOT / "README.md").read_text()
    for extra in set(EXTRAS) - {"test", "test-floor", "dev", "docs", "torch-pruning"} - ALONE:
        assert f"`{extra}`" in readme
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.py"), ROOT / "Makefile"]
    for page in pages:
        for asked in re.findall(r'"\.\[([\w,-]+)\]"', page.read_text()):
            assert set(asked.split(",")) <= set(EXTRAS), page


def floor(*extras):
    """What `make test-floor` tells pip to install."""
    command = [sys.executable, ROOT / "tools" / "floor.py", *extras]
    return [
        Requirement(line)
        for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")
        if line
    ]


@pytest.mark.parametrize("extra", ["tflite", "tflite-cpu"])
def test_the_floor_is_the_lower_bounds_and_nothing_else(extra):
    asked = [Requirement(line) for line in PROJECT["dependencies"] + EXTRAS[extra]]
    bounds = {(need.name, str(need.marker)): need.specifier for need in asked if need.specifier}
    found = {(need.name, str(need.marker)): need.specifier for need in floor(extra)}
    assert found.keys() == bounds.keys()
    for key, specifier in found.items():
        (oldest,) = specifier
        assert oldest.operator == "=="
        assert [each.operator for each in bounds[key]] == [">="]
        assert oldest.version == next(iter(bounds[key])).version


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("extra", ["tflite", "tflite-cpu"])
def test_each_python_has_one_floor(extra, python):
    names = [
        need.name for need in floor(extra) if need.marker is None or need.marker.evaluate({"python_version": python})
    ]
    assert len(names) == len(set(names))
    assert {"keras", "numpy", extra.replace("tflite", "tensorflow"), "ai-edge-litert"} <= set(names)


def test_versions_that_people_have_are_allowed():
    have = {
        "keras": ["3.10.0", "3.12.4", "3.13.2"],
        "tensorflow": ["2.19.0", "2.20.0"],
        "tensorflow-cpu": ["2.19.0", "2.20.0"],
    }
    for need in map(Requirement, PROJECT["dependencies"] + EXTRAS["tflite"] + EXTRAS["tflite-cpu"]):
        for version in have.get(need.name, []):
            if need.marker is None or need.marker.evaluate({"python_version": "3.12"}):
                assert need.specifier.contains(version), need


@pytest.mark.core
@pytest.mark.skipif("FLOOR" not in os.environ, reason="make test-floor")
def test_the_oldest_versions_are_those_installed():
    for need in floor(os.environ["FLOOR"]):
        if need.marker is None or need.marker.evaluate():
            assert need.specifier.contains(importlib.metadata.version(need.name)), need


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
