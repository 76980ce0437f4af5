"""The README and the pages of docs/: their code runs, their links lead somewhere."""

import importlib.util
import inspect
import re

import keras
import numpy as np
import pytest
from support import tflite_files as made
from support.exports import first_only
from support.pages import DOCS, ROOT, blocks, run_page
from support.zoo import BACKEND

import keras_prune as kp
import tflite_export

pytestmark = pytest.mark.skipif(BACKEND != "tensorflow", reason="once is enough, and the export needs TensorFlow")

PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
# tests/tfmot/test_tfmot.py runs this one, and looks at what it made; the others are run as notebooks (tests/notebooks).
ELSEWHERE = {"guides/moving-from-tfmot.md", "guides/transfer-learning.md", "tutorial.md"}
# Files that a page writes.
WRITTEN = {
    "guides/export.md": {"float32.tflite", "int8.tflite", "int8.tflite.xz"},
    "guides/microcontrollers.md": {"model_data.cc", "model_data.h"},
}
RUN = [page for page in PAGES if page not in ELSEWHERE and blocks((DOCS / page).read_text())]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """What the pages write lands here."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two files of one model, as bytes by kind."""
    keras.utils.set_random_seed(0)
    model = made.cnn()
    return {kind: made.convert(model, kind, tmp_path_factory.mktemp(kind)) for kind in ("float32", "int8")}


@pytest.fixture
def one_export(monkeypatch):
    monkeypatch.setattr(tflite_export, "export", first_only(tflite_export.export))


@pytest.mark.parametrize("page", RUN)
def test_the_code_of_a_page_runs(page, folder, request):
    """Pages bring their own model and data; only that on microcontrollers begins with a file."""
    names = {}
    if page == "guides/export.md":
        request.getfixturevalue("one_export")
    if page == "guides/microcontrollers.md":
        (folder / "model.tflite").write_bytes(request.getfixturevalue("files")["int8"])
        names = {"x": made.images()}
    names = run_page(DOCS / page, names)
    assert {path.name for path in folder.iterdir()} >= WRITTEN.get(page, set())
    if page == "guides/channels.md":
        assert names["half_macs"].report.macs_after <= 0.5 * names["half_macs"].report.macs_before


def test_the_code_of_the_readme_runs(folder):
    layers = keras.layers
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, 128)
    names = {  # what the README takes for granted: a model and data
        "model": keras.Sequential(
            [
                keras.Input((made.SIDE, made.SIDE, 3)),
                layers.Conv2D(4, 3, strides=2, name="stem"),
                layers.Conv2D(32, 3, padding="same", name="conv"),
                layers.Flatten(),
                layers.Dense(10, activation="softmax"),
            ]
        ),
        "x_train": made.images(128),
        "y_train": y,
        "x_test": made.images(64, seed=1),
        "y_test": y[:64],
    }

    def shorter(code):
        """The README trains for 2000 steps; the text is the same, only the numbers are smaller."""
        return code.replace("end_step=2000", "end_step=40").replace("begin_step=1000", "begin_step=2")

    run_page(ROOT / "README.md", names, shorter)
    assert {path.name for path in folder.iterdir()} == {"model.tflite"}
    assert kp.summary(names["model"]).prunable_sparsity == pytest.approx(0.9, abs=0.01)


def tool(name):
    """A program of tools/."""
    spec = importlib.util.spec_from_file_location(f"tools_{name}", ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_blocks_that_are_not_run_are_python_for_markdown():
    assert tool("dialect").translate(["```python skip", "a = 1", "```", "```python"]) == [
        "```python",
        "a = 1",
        "```",
        "```python",
    ]


def test_the_readme_can_be_read_in_a_minute():
    assert len((ROOT / "README.md").read_bytes()) <= 8000


def test_badges_say_what_the_package_says():
    for name, picture in tool("drawings").badges().items():
        assert (DOCS / "images" / name).read_text() == picture, "run `python tools/drawings.py`"
        assert f"](docs/images/{name})]" in (ROOT / "README.md").read_text()


def documented():
    return re.findall(r"^::: (\S+)$", "\n".join(path.read_text() for path in (DOCS / "api").glob("*.md")), re.M)


def public_names():
    """Every public name by the shortest way to it: `keras_prune.cost`, but `keras_prune.costs.ModelCost`.

    Public is what stands in an `__all__`: of the packages, and of the rooms that `keras_prune` names.
    """
    names = {f"tflite_export.{name}" for name in tflite_export.__all__}
    for name in kp.__all__:
        value = getattr(kp, name)
        names |= names_in(value, [kp]) if inspect.ismodule(value) else {f"keras_prune.{name}"}
    return names - {"keras_prune.__version__"}


def names_in(module, around):
    """The public names of a module, and of those in it, that none of the modules around it has."""
    found = set()
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        if inspect.ismodule(value) and value.__name__.startswith(module.__name__):
            found |= names_in(value, [*around, module])
        elif not any(value is getattr(outer, other) for outer in around for other in outer.__all__):
            found.add(f"{module.__name__}.{name}")
    return found


def test_api_pages_have_every_public_name_once_and_nothing_else():
    assert sorted(documented()) == sorted(public_names())


def test_the_map_has_every_room():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for package in ("keras_prune", "tflite_export"):
        rooms = {
            path.stem for path in (ROOT / package).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
        }
        assert {room for room in rooms - {"__init__", "_version"} if f"`{room}`" not in text} == set()


def test_every_page_is_in_the_navigation():
    named = re.findall(r"^ +- (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    assert sorted(named) == PAGES


def without_code(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)


def anchors(text):
    """The anchors of the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", without_code(text), re.M)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


def test_links_lead_somewhere():
    lost = []
    for path in (*(DOCS / page for page in PAGES), *ROOT.glob("*.md")):
        for target in re.findall(r"\]\(([^)\s]+)\)", without_code(path.read_text())):
            file, _, anchor = target.partition("#")
            linked = path.parent / file if file else path
            if not re.match(r"https?:", target) and not (
                linked.is_file() and (not anchor or anchor in anchors(linked.read_text()))
            ):
                lost.append(f"{path.relative_to(ROOT)}: {target}")
    assert lost == []
