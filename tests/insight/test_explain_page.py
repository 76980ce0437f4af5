"""The page of an explanation: it needs nothing else, names stay names, and a browser shows it without complaint."""

import base64
import html.parser
import pathlib
import re
import shutil
import subprocess
import xml.etree.ElementTree

import keras
import pytest
from keras import layers
from support.zoo import BACKEND

import keras_prune as kp

pytest.importorskip("matplotlib", reason="the extra `plots`")
pytestmark = pytest.mark.skipif(BACKEND != "tensorflow", reason="once is enough")

EVIL = "<script>alert(1)<script>"
ALSO_EVIL = '"><img src=x onerror=alert(2)>&amp;$x$'
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OFFLINE = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run", "--hide-scrollbars", "--enable-logging=stderr", "--window-size=1200,1600"),
    "--host-resolver-rules=MAP * ~NOTFOUND",  # no name is found: no network
)


def evil():
    inputs = keras.Input((8,))
    hidden = layers.Dense(12, activation="relu", name=EVIL)(inputs)
    hidden = hidden + layers.Dense(12, activation="relu", name=ALSO_EVIL)(hidden)
    return keras.Model(inputs, layers.Dense(3, name="output")(hidden), name="a <b>model")


def explained(kind):
    model = evil()
    prune = {
        "weights": lambda: kp.prune_weights(model, 0.5),
        "channels": lambda: kp.prune_channels(model, 0.5),
        "layers": lambda: kp.prune_layers(model, ratio=0.99, importance="random"),
    }
    return kp.explain(model, prune[kind]())


class Reader(html.parser.HTMLParser):
    """Notes what a page has, and that every element is closed in order."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.links, self.text = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href", "srcset", "data", "action")]
        assert not [name for name, _ in attributes if name.startswith("on")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text.append(data)
        else:
            assert "url(" not in data
            assert "@import" not in data


@pytest.mark.parametrize("kind", ["weights", "channels", "layers"])
def test_a_page_needs_nothing_else_and_names_stay_names(kind):
    explanation = explained(kind)
    page = explanation.to_html()
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    assert not {"script", "link", "iframe", "object", "embed", "b", "form"} & set(reader.tags)
    assert reader.links
    assert all(link.startswith("data:image/svg+xml;base64,") for link in reader.links)
    text = "\n".join(reader.text)
    for part in explanation.parts:
        for cell in (*part.HEADINGS, *part.cells()):
            assert cell in text
    for name, value in explanation.facts:
        assert name in text
        assert value in text
    for link in reader.links:  # each drawing is well-formed, and holds no script and nothing from elsewhere
        svg = base64.b64decode(link.split(",", 1)[1])
        tree = xml.etree.ElementTree.fromstring(svg)
        assert not [each for each in tree.iter() if each.tag.endswith(("script", "foreignObject"))]
        targets = [value for each in tree.iter() for name, value in each.attrib.items() if name.endswith("href")]
        assert all(target.startswith(("#", "data:image/png;base64,")) for target in targets)


def test_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    explanation = explained("layers")
    path = tmp_path / "why.html"
    explanation.save_html(path)
    written = path.read_text(encoding="utf-8")
    assert written == explanation.to_html()
    with pytest.raises(ValueError, match="overwrite=True"):
        explanation.save_html(path)
    explanation.save_html(path, overwrite=True)
    for bad in (tmp_path / "why.txt", tmp_path / "no" / "why.html", tmp_path):
        with pytest.raises(ValueError, match="Received"):
            explanation.save_html(bad)
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        explanation.save_html(path, overwrite=True)
    assert [each.name for each in tmp_path.iterdir()] == ["why.html"]
    assert path.read_text(encoding="utf-8") == written


def test_a_model_in_which_nothing_was_removed_has_a_page():
    model = evil()
    page = kp.explain(model, kp.wrap_pruning(model)).to_html()
    assert "nothing was removed" in page
    assert "In detail" not in page


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium, chromium-browser or google-chrome on PATH")
@pytest.mark.parametrize("kind", ["weights", "channels"])
def test_a_browser_shows_it_without_complaint(tmp_path, kind):
    path = tmp_path / "why.html"
    explained(kind).save_html(path)
    says = browse(tmp_path, path)
    assert "CONSOLE" not in says, says
    assert shown(tmp_path) > 0.02
    broken = tmp_path / "broken.html"  # the test can fail: what the policy of the page forbids is told
    broken.write_text(path.read_text(encoding="utf-8").replace("</main>", "<script>1</script></main>"))
    assert "CONSOLE" in browse(tmp_path, broken)


def browse(folder: pathlib.Path, page: pathlib.Path) -> str:
    """What the browser says while it draws a page, without any network."""
    shot = folder / "shot.png"
    command = [CHROMIUM, *OFFLINE, f"--user-data-dir={folder / 'profile'}"]
    done = subprocess.run(
        [*command, f"--screenshot={shot}", page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    assert shot.exists(), done.stderr
    return "\n".join(line for line in done.stderr.splitlines() if re.search("CONSOLE", line))


def shown(folder: pathlib.Path) -> float:
    """How much of the screenshot has the blue or orange of plots."""
    import matplotlib.pyplot as plt
    import numpy as np

    image = plt.imread(folder / "shot.png")[..., :3]
    colours = np.array([[0, 0x72, 0xB2], [0xE6, 0x9F, 0]]) / 255
    return float(max((np.abs(image - colour).max(axis=-1) < 0.02).mean() for colour in colours))
