"""The page of an export: bars and tables that open anywhere, whatever the names are."""

import dataclasses
import html.parser
import pathlib
import re

import pytest

import tflite_export

EVIL = "a<script>alert(1)</script>\"'&\x1b[31m"


def tensor(name, elements, zeros, dtype="int8"):
    size = elements * (4 if dtype == "float32" else 1)
    return tflite_export.TensorSparsity(name, (elements,), dtype, elements, zeros, 17, size, False, "")


def report(**changes):
    whole = tflite_export.ExportReport(
        path=pathlib.Path("folder") / "model.tflite",
        quantize="int8",
        sparse=False,
        batch_size=1,
        bytes=4000,
        gzip_bytes=3000,
        xz_bytes=1000,
        inputs=("image",),
        outputs=("digit", "box"),
        verified=True,
        samples=8,
        max_difference=0.125,
        mean_difference=0.0625,
        tolerance=0.5,
        keras_accuracy=0.75,
        accuracy=0.5,
        tensors=(tensor(EVIL, 400, 300), tensor("bias", 100, 0, "float32")),
        operators={"CONV_2D": 4, "SOFTMAX": 1},
        timings=(),
        memory=None,
        warnings=(f"{EVIL} has lost it", "and more"),
        error=0.3,
        agreement=0.9,
        checks=(
            tflite_export.OutputCheck("digit", 0.125, 0.0625, 0.3, 0.9),
            tflite_export.OutputCheck("box", 0.01, 0.001, None, None),
        ),
    )
    return dataclasses.replace(whole, **changes)


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.data, self.widths, self.headings = [], set(), set(), [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag != "meta":
            self.open.append(tag)
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}
        self.widths += [
            float(re.fullmatch(r"width:([\d.]+)%", value)[1]) for name, value in attributes if name == "style"
        ]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.data.append(data)
        if self.open and self.open[-1] in ("h2", "summary") and data != "model.tflite":  # that of the table of numbers
            self.headings.append(data)


PARTS = ("Warnings", "Size", "Outputs", "Weights", "Left in float32", "Operators", "All numbers")


def test_the_page_has_all_parts_and_nothing_foreign():
    text = report().to_html()
    page = Page(text)
    assert page.headings == list(PARTS)
    assert not page.tags & {"script", "link", "img", "iframe", "object", "form"}
    assert page.attributes <= {"lang", "charset", "http-equiv", "content", "name", "class", "style", "colspan"}
    assert "://" not in text
    assert "default-src 'none'" in text
    assert "\x1b" not in text
    assert page.data.count(EVIL.replace("\x1b", "?")) == 2  # in the bars, and in the table of all numbers
    assert f"{EVIL} has lost it".replace("\x1b", "?") in page.data


def test_bars_are_as_long_as_what_they_show():
    sizes, weights, operators = [100.0, 75.0, 25.0], [100.0, 75.0, 100.0, 0.0], [100.0, 25.0]
    assert Page(report().to_html()).widths == [*sizes, *weights, *operators]  # of weights: bytes, and zeros


def test_differences_of_each_output_are_on_the_page_and_in_print():
    page = Page(report().to_html())
    row = page.data.index("box")
    assert [each for each in page.data[row : row + 12] if each.strip()][:5] == ["box", "0.01", "0.001", "-", "-"]
    assert "30.00%" in page.data
    text = re.sub(" +", " ", str(report()))
    assert "difference of box 0.01, mean 0.001" in text
    assert "difference of" not in str(report(checks=report().checks[:1]))  # one output: the line above says it


def test_what_is_not_there_has_no_part():
    bare = report(warnings=(), tensors=(), operators={}, checks=(), verified=False, quantize=None, accuracy=None)
    page = Page(bare.to_html())
    assert page.headings == ["Size", "All numbers"]
    assert any("the file was not run" in each for each in page.data)
    float32 = report(quantize=None, tensors=(tensor("kernel", 8, 0, "float32"),))
    assert "Left in float32" not in Page(float32.to_html()).data  # as asked


def test_many_weights_are_the_largest_as_bars_and_all_as_numbers():
    tensors = tuple(tensor(f"kernel_{place}", 100 + place, 0) for place in range(80))
    page = Page(report(tensors=tensors).to_html())
    assert len(page.widths) == 3 + 2 * 12 + 2
    assert "The 12 largest; 68 smaller ones are in the table of all numbers." in page.data
    assert {f"kernel_{place}" for place in range(80)} <= set(page.data)


def test_it_is_saved_once(tmp_path):
    file = tmp_path / "report.html"
    report().save_html(file)
    assert file.read_text(encoding="utf-8") == report().to_html()
    with pytest.raises(ValueError, match=r"must not exist, unless overwrite=True\. Received: .*report\.html"):
        report().save_html(file)
    report(bytes=5).save_html(file, overwrite=True)
    assert "5 bytes" in file.read_text(encoding="utf-8")
    for wrong in (tmp_path / "report.txt", tmp_path / "nowhere" / "report.html"):
        with pytest.raises(ValueError, match="Received: "):
            report().save_html(wrong)
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]
