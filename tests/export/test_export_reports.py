"""What every report of `tflite_export` can do: print, JSON, Markdown, a page, records, a plot."""

import dataclasses
import json
import pathlib
import pickle

import matplotlib.pyplot as plt
import pytest

import tflite_export
from tflite_export.reporting import Report


def tensor(name, elements, zeros):
    return tflite_export.TensorSparsity(name, (elements,), "int8", elements, zeros, 17, elements, False, "per-tensor")


TENSORS = tuple(tensor(f"kernel{place};copy", 100 + place, 25) for place in range(14))
PORT = tflite_export.Port("image", (-1, 8, 8, 3), "int8", 0.5, -3)
TIMES = tuple(tflite_export.CallTime(threads, 9, 2.0, 1.0, 3.0) for threads in (1, 2))
PATH = pathlib.Path("folder") / "model.tflite"

EXPORTED = tflite_export.ExportReport(
    path=PATH,
    quantize="int8",
    sparse=False,
    batch_size=None,
    bytes=4000,
    gzip_bytes=3000,
    xz_bytes=2000,
    inputs=("image",),
    outputs=("output_0",),
    verified=True,
    samples=8,
    max_difference=0.125,
    mean_difference=0.0625,
    tolerance=0.5,
    keras_accuracy=0.75,
    accuracy=0.5,
    tensors=TENSORS,
    operators={"CONV_2D": 2, "SOFTMAX": 1},
    timings=TIMES,
    memory=None,
    warnings=("compared on synthetic inputs",),
)
INSPECTED = tflite_export.FileReport(
    path=PATH,
    description="TOCO",
    bytes=4000,
    gzip_bytes=None,
    xz_bytes=None,
    graphs=1,
    inputs=(PORT,),
    outputs=(PORT,),
    operators={"CONV_2D": 2, "CUSTOM FlexErf": 1},
    tensors=TENSORS,
    macs=None,
    effective_macs=None,
    uncounted=("CUSTOM FlexErf",),
)
TIMED = tflite_export.Benchmark(
    tuple(
        tflite_export.Timing(**vars(time), path=pathlib.Path(f"{name}.tflite"), ratio=1.0)
        for time in TIMES
        for name in ("float32", "int8")
    )
)
COMPARED = tflite_export.Comparison(
    "a.tflite",
    "the Keras model b",
    50,
    (
        tflite_export.OutputDifference("scores", (50, 3), 0.25, 0.125, 4.0, 0.96),
        tflite_export.OutputDifference("size", (50, 1), 0.5, 0.25, 7.0, None),
    ),
)
SPEED = tflite_export.SparseSpeed(
    (
        tflite_export.KernelSpeed("dense", (64, 32), 0.75, 1.0, ("LiteRT float32",), True, ""),
        tflite_export.KernelSpeed("conv", (3, 3, 8, 8), 0.5, 0.0, (), True, "prune channels"),
    ),
    ("it has no Conv2D",),
)
MICRO = tflite_export.MicroReport(PATH, 4000, (), True, 1234, 5, 0.25)
REFUSED = tflite_export.MicroReport(PATH, 4000, ("it does not read float16 weights",), False, None, 0, None)
PACKED = tflite_export.Packed(PATH, 4000, 1000)

# A report; what stands in its text, Markdown and page; how many records it has; how many bars it draws.
REPORTS = {
    "export": (EXPORTED, ["model.tflite", "kernel13", "allowed 0.5", "accuracy", "compared on synthetic"], 14, 3),
    "inspect": (INSPECTED, ["model.tflite", "kernel13", "FlexErf", "unknown", "? x 8 x 8 x 3"], 14, 24),
    "benchmark": (TIMED, ["int8.tflite", "Median ms", "1.00"], 4, 12),
    "compare": (COMPARED, ["a.tflite and the Keras model b, 50 samples", "scores", "96.00%", "50 x 3"], 2, 4),
    "sparse_speed": (SPEED, ["dense: faster on LiteRT float32", "conv: prune channels", "it has no Conv2D"], 2, 4),
    "micro": (MICRO, ["model.tflite on TensorFlow Lite Micro", "1,234 bytes", "0.25 (5 samples)"], 0, 2),
    "refused": (REFUSED, ["it does not read float16 weights", "4,000 bytes"], 0, 1),
    "pack": (PACKED, ["4,000 bytes", "1,000 bytes, 4.00 times smaller"], 0, 2),
}


@pytest.fixture(autouse=True)
def _width(monkeypatch):
    """A terminal of 100 columns."""
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture(params=list(REPORTS))
def entry(request):
    return REPORTS[request.param]


def test_text_markdown_and_page(entry):
    report, parts, _, _ = entry
    assert isinstance(report, Report)
    page = report.to_html()
    assert page.startswith("<!DOCTYPE html>")
    assert report._repr_html_() in page
    assert "http://" not in page
    assert "https://" not in page
    assert max(map(len, str(report).splitlines())) <= 100
    for text in (str(report), report.to_markdown(), page):
        for part in parts:
            assert part in text


def test_json_and_records(entry):
    report, _, count, _ = entry
    values = json.loads(report.to_json())
    assert len(report.records()) == len(values["records"]) == count
    for record, found in zip(report.records(), values["records"], strict=True):
        assert list(record) == list(found)
    rows = {"timings", "outputs", "kernels"}  # these are the records
    for field in dataclasses.fields(report):
        assert field.name in values or field.name in rows


def test_plot(entry):
    report, _, _, bars = entry
    axes = report.plot()
    assert len(axes.patches) == bars
    given = plt.figure().subplots()
    assert report.plot(given) is given
    assert len(given.patches) == bars
    plt.close("all")


def test_reports_go_through_pickle(entry):
    report = entry[0]
    again = pickle.loads(pickle.dumps(report))
    assert again == report
    assert str(again) == str(report)
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.path = None


def test_json_keeps_the_names_of_fields_and_sums():
    values = json.loads(EXPORTED.to_json())
    assert values["path"] == str(PATH)
    assert values["tensors"] == values["records"]
    assert values["sparsity"] == EXPORTED.sparsity == 14 * 25 / sum(range(100, 114))
    assert values["timings"][1] == {"threads": 2, "runs": 9, "median_ms": 2.0, "p10_ms": 1.0, "p90_ms": 3.0}
    values = json.loads(INSPECTED.to_json())
    assert values["inputs"] == [
        {"name": "image", "shape": [-1, 8, 8, 3], "dtype": "int8", "scale": 0.5, "zero_point": -3}
    ]
    assert values["tensors"][0]["sparsity"] == 0.25
    for name in ("parameters", "non_zeros", "elements", "zeros", "sparsity"):
        assert values[name] == getattr(INSPECTED, name)
    for name in ("flex_operators", "custom_operators"):
        assert tuple(values[name]) == getattr(INSPECTED, name)
    assert json.loads(COMPARED.to_json())["max"] == 0.5
    assert json.loads(PACKED.to_json())["ratio"] == 4.0


@pytest.mark.parametrize("report", [EXPORTED, INSPECTED])
def test_printed_tables_show_the_largest_tensors_and_pages_all(report):
    text = str(report)
    assert "and 2 smaller" in text
    for place in range(14):
        assert (f"kernel{place} " in text) == (place >= 2)
        assert f"<td>kernel{place}</td>" in report.to_html()
        assert f"| kernel{place} |" in report.to_markdown()
    assert [record["name"] for record in report.records()] == [each.name for each in TENSORS]


def test_a_report_without_tensors_shows_no_empty_table():
    for report in (EXPORTED, INSPECTED):
        empty = dataclasses.replace(report, tensors=())
        for text in (str(empty), empty.to_markdown(), empty.to_html()):
            assert "Distinct values" not in text
        assert empty.sparsity == 0
        empty.plot()
    plt.close("all")
