"""`inspect`: against LiteRT's own interpreter, NumPy, and the weights that the Keras model has."""

import json
import os
import subprocess
import sys
import time
from collections import Counter

import keras
import numpy as np
import pytest
from support import tflite_files as made

import tflite_export
from tflite_export.reader import flatbuffer

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow converts")


def interpreter_of(content):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    return interpreter


def write(folder, content):
    path = folder / "changed.tflite"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", made.KINDS)
def test_report_equals_what_litert_says(tflite_files, kind):
    path = tflite_files[1][kind]
    report = tflite_export.inspect(path)
    interpreter = interpreter_of(path.read_bytes())
    for ports, details in (
        (report.inputs, interpreter.get_input_details()),
        (report.outputs, interpreter.get_output_details()),
    ):
        for port, detail in zip(ports, details, strict=True):
            assert port.shape == tuple(detail["shape"])
            assert port.dtype == np.dtype(detail["dtype"]).name
            scale, point = detail["quantization"]
            assert (port.scale or 0.0, port.zero_point or 0) == (pytest.approx(scale), point)
    assert [port.name for port in report.inputs] == ["image"]
    assert [port.name for port in report.outputs] == ["output_0"]
    assert report.bytes == path.stat().st_size

    # LiteRT gives constants as they are stored; its operators are those of our file plus what it delegates.
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    (graph,) = flatbuffer.read(path.read_bytes()).graphs
    places = [place for place, tensor in enumerate(graph.tensors) if tensor.data is not None]
    for tensor, place in zip(report.tensors, places, strict=True):
        detail = details[place]
        if not detail["name"].startswith("arith.constant"):  # which is no name
            assert tensor.name == detail["name"]
        assert tensor.shape == tuple(detail["shape"])
        assert tensor.dtype == np.dtype(detail["dtype"]).name
        if kind == "sparse":
            continue  # LiteRT gives the stored bytes, not the tensor
        values = interpreter.get_tensor(detail["index"])
        parameters = detail["quantization_parameters"]
        points = parameters["zero_points"] if len(parameters["zero_points"]) else np.zeros(1)
        assert (points == 0).all()
        assert tensor.zeros == np.sum(values == 0)
        assert tensor.distinct == len(np.unique(values))
        assert tensor.bytes == values.nbytes
        assert tensor.elements == values.size
        scales = len(parameters["scales"])
        assert tensor.quantization == ("" if not scales else "per-tensor" if scales == 1 else "per-channel")
    assert report.gzip_bytes < report.bytes
    assert report.xz_bytes < report.bytes
    assert tflite_export.inspect(path, compressed=False).xz_bytes is None


@pytest.mark.parametrize("kind", made.KINDS)
def test_operators_equal_those_of_the_schema(tflite_files, kind):
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    content = tflite_files[1][kind].read_bytes()
    model = made.unpack(content)
    names = {number: name for name, number in vars(BuiltinOperator).items() if isinstance(number, int)}
    expected = Counter(
        names[model.operatorCodes[op.opcodeIndex].builtinCode] for g in model.subgraphs for op in g.operators
    )
    report = tflite_export.inspect(tflite_files[1][kind])
    assert report.operators == expected == flatbuffer.operators(content)
    assert not report.flex_operators
    assert not report.custom_operators


def test_zeros_of_sparse_and_half_files_are_those_of_keras(tflite_files):
    model, paths = tflite_files
    kernels = {name: layer.get_weights()[0] for name in ("conv", "wide", "head") for layer in [model.get_layer(name)]}
    expected = {name: (kernel.size, int(np.sum(kernel == 0))) for name, kernel in kernels.items()}
    assert expected["conv"][1] > 100
    assert expected["wide"][1] > 1000
    for kind in ("float32", "float16", "sparse"):
        content = paths[kind].read_bytes()
        found = {tensor.elements: tensor for tensor in flatbuffer.weights(content)}
        assert len(found) == 4
        for size, zeros in expected.values():
            assert (found[size].elements, found[size].zeros) == (size, zeros)
        assert flatbuffer.zeros(content) == sum(zeros for _, zeros in expected.values())
    sparse = {tensor.elements: tensor for tensor in tflite_export.inspect(paths["sparse"]).tensors}
    for name, stored in (("conv", True), ("wide", True), ("head", False)):
        tensor = sparse[kernels[name].size]
        assert tensor.stored_sparse is stored
        assert tensor.distinct == len(np.unique(kernels[name]))
        assert (tensor.bytes < 4 * tensor.elements) is stored
    # int8 keeps the zeros of the mask and rounds some small weights to zero as well.
    assert flatbuffer.zeros(paths["int8"].read_bytes()) >= sum(zeros for _, zeros in expected.values())


def changed_kernel(content, change):
    """The int8 file with another head: `change(tensor, values)` gives the bytes of its buffer."""
    model = made.unpack(content)
    for tensor in model.subgraphs[0].tensors:
        if tuple(tensor.shape) == (5, 32):
            buffer = model.buffers[tensor.buffer]
            buffer.data = np.frombuffer(change(tensor, buffer.data), "uint8")
    return model


@pytest.mark.parametrize(("bits", "kind"), [(4, "INT4"), (2, "INT2"), (4, "UINT4")])
def test_packed_integers(tflite_files, tmp_path, rng, bits, kind):
    from ai_edge_litert.schema_py_generated import TensorType

    if not hasattr(TensorType, kind):
        pytest.skip(f"the schema of this LiteRT does not know {kind} yet")
    signed, values = not kind.startswith("U"), None

    def change(tensor, _):
        nonlocal values
        low = -(1 << (bits - 1)) if signed else 0
        values = rng.integers(low, low + (1 << bits), 155)
        tensor.type, tensor.shape = getattr(TensorType, kind), [5, 31]
        packed = bytearray(-(-155 * bits // 8))
        for i, value in enumerate(values.tolist()):  # the first value in the lowest bits of the first byte
            packed[i * bits // 8] |= (value & ((1 << bits) - 1)) << (i * bits % 8)
        return bytes(packed)

    content = made.pack(changed_kernel(tflite_files[1]["int8"].read_bytes(), change))
    (tensor,) = [t for t in tflite_export.inspect(write(tmp_path, content)).tensors if t.shape == (5, 31)]
    assert (tensor.dtype, tensor.elements) == (kind.lower(), 155)
    assert (tensor.zeros, tensor.distinct) == (np.sum(values == 0), len(np.unique(values)))
    (raw,) = [t for g in flatbuffer.read(content).graphs for t in g.tensors if t.shape == (5, 31)]
    np.testing.assert_array_equal(raw.values(), values)


def test_zeros_stand_at_the_zero_points(tflite_files, tmp_path):
    points = np.array([0, 3, -7, 100, -128])
    values = np.random.default_rng(0).integers(-128, 128, (5, 32)).astype("int8")
    values[:, ::4] = points[:, None]

    def change(tensor, _):
        tensor.quantization.zeroPoint = points
        return values.tobytes()

    content = made.pack(changed_kernel(tflite_files[1]["int8"].read_bytes(), change))
    (tensor,) = [t for t in tflite_export.inspect(write(tmp_path, content)).tensors if t.shape == (5, 32)]
    assert tensor.zeros == sum(np.sum(row == point) for row, point in zip(values, points, strict=True)) >= 40


def test_minus_zero_is_a_zero(tflite_files, tmp_path):
    from ai_edge_litert.schema_py_generated import TensorType

    for kind, bits in (("FLOAT32", "float32"), ("FLOAT16", "float16"), ("BFLOAT16", None)):

        def change(tensor, _, kind=kind, bits=bits):
            tensor.type, tensor.shape, tensor.quantization = getattr(TensorType, kind), [4], None
            values = np.array([0.0, -0.0, 1.0, -0.0], "float32")
            stored = values.view("uint32") >> 16 if bits is None else values.astype(bits)
            return (stored.astype("uint16") if bits is None else stored).tobytes()

        content = made.pack(changed_kernel(tflite_files[1]["int8"].read_bytes(), change))
        (tensor,) = [t for t in tflite_export.inspect(write(tmp_path, content)).tensors if t.shape == (4,)]
        assert (tensor.zeros, tensor.distinct) == (3, 2)


def test_buffers_behind_the_flatbuffer(tflite_files, tmp_path):
    path = tflite_files[1]["float32"]
    model = made.unpack(path.read_bytes())
    large = [buffer for buffer in model.buffers if buffer.data is not None and len(buffer.data) > 600]
    data = [bytes(bytearray(buffer.data)) for buffer in large]
    for buffer in large:
        buffer.data, buffer.offset, buffer.size = None, 1 << 40, 1 << 40  # room for the numbers
    begin = -(-len(made.pack(model)) // 64) * 64
    for buffer, values in zip(large, data, strict=True):
        buffer.offset, buffer.size = begin + 64 * len(large), len(values)
        large_end = buffer.offset + -(-len(values) // 64) * 64
        begin = large_end - 64 * len(large)
    content = bytearray(made.pack(model))
    for buffer, values in zip(large, data, strict=True):
        content.extend(bytes(buffer.offset - len(content)))
        content.extend(values)
    moved, before = tflite_export.inspect(write(tmp_path, bytes(content))), tflite_export.inspect(path)
    assert sorted(moved.tensors, key=str) == sorted(before.tensors, key=str)
    # LiteRT agrees that this is the same model.
    x = made.images(3)
    np.testing.assert_array_equal(tflite_export.predict(tmp_path / "changed.tflite", x), tflite_export.predict(path, x))


def test_flex_and_custom_operators_are_named(tflite_files, tmp_path):
    model = made.unpack(tflite_files[1]["float32"].read_bytes())
    first, second = model.operatorCodes[:2]
    for code, name in ((first, b"FlexErf"), (second, b"MyOwn")):
        code.builtinCode = code.deprecatedBuiltinCode = 32
        code.customCode = name
    report = tflite_export.inspect(write(tmp_path, made.pack(model)))
    assert report.flex_operators == ("FlexErf",)
    assert report.custom_operators == ("MyOwn",)
    assert "FlexErf" in str(report)


def test_report_prints_and_saves(tflite_files, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    path = tflite_files[1]["int8"]
    report = tflite_export.inspect(path)
    text = str(report)
    for part in ("int8.tflite", "8 x 3 x 3 x 3", "int8 per-channel", "75.0%", "2 FULLY_CONNECTED", "zero point -128"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 100
    with pytest.raises(AttributeError):
        report.bytes = 1
    values = json.loads(report.to_json())
    assert values["bytes"] == report.bytes
    assert values["zeros"] == report.zeros
    assert len(values["tensors"]) == len(report.tensors)
    page = report.to_html()
    assert page.startswith("<!DOCTYPE html>")
    assert "int8 per-channel" in page
    assert "http:" not in page  # it needs no other file
    assert "https:" not in page


def test_names_of_others_are_no_markup(tflite_files, tmp_path):
    model = made.unpack(tflite_files[1]["float32"].read_bytes())
    for tensor in model.subgraphs[0].tensors:
        tensor.name = b"[red]\x1b[31m<script>"
    model.signatureDefs = None
    report = tflite_export.inspect(write(tmp_path, made.pack(model)))
    assert "[red]?[31m<script>: float32" in str(report)
    assert "<script>" not in report.to_html()


def test_inspect_needs_no_tensorflow(tflite_files):
    code = (
        "import sys, tflite_export; str(tflite_export.inspect(sys.argv[1])); "
        "print([m for m in ('tensorflow', 'keras') if m in sys.modules])"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    path = str(tflite_files[1]["sparse"])
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.strip() == "[]"


def test_damaged_files_are_value_errors(tflite_files, tmp_path):
    contents = [path.read_bytes() for path in tflite_files[1].values()]
    kinds, start = Counter(), time.monotonic()
    for kind, content in made.mutations(contents, 300, 0):
        path = write(tmp_path, content)
        try:
            report = tflite_export.inspect(path, compressed=False)
        except ValueError as error:
            found, report = str(error), None
        if report is None:
            assert "must be a .tflite file" in found
            assert found.rpartition("Received: ")[2].startswith(f"{len(content):,} bytes that begin")
            kinds[kind] += 1
        else:  # changed where it does no harm
            assert str(report)
            assert all(0 <= tensor.zeros <= tensor.elements for tensor in report.tensors)
    assert kinds["noise"] == kinds["identifier"] == 60
    assert kinds["cut"] == 60
    assert kinds["numbers"] > 10
    assert time.monotonic() - start < 60  # no endless loop, no gigabytes


def test_tables_that_point_to_the_same_place_come_to_an_end():
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    builder = flatbuffers.Builder()

    def many(entry):  # a vector whose entries are all the same table
        builder.StartVector(4, 20_000, 4)
        for _ in range(20_000):
            builder.PrependUOffsetTRelative(entry)
        return builder.EndVector()

    schema.BufferStart(builder)
    buffers = many(schema.BufferEnd(builder))
    schema.TensorStart(builder)
    tensors = many(schema.TensorEnd(builder))
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors)
    graphs = many(schema.SubGraphEnd(builder))
    schema.ModelStart(builder)
    schema.ModelAddBuffers(builder, buffers)
    schema.ModelAddSubgraphs(builder, graphs)
    builder.Finish(schema.ModelEnd(builder), file_identifier=b"TFL3")
    content = builder.Output()  # 400,000,000 tensors in 240 kB
    with pytest.raises(ValueError, match="point to the same place"):
        flatbuffer.read(bytes(content))


def test_what_is_no_file(tmp_path):
    with pytest.raises(ValueError, match=r"must be a .tflite file. Received: '.*none.tflite'"):
        tflite_export.inspect(tmp_path / "none.tflite")
    with pytest.raises(ValueError, match=r"must be a .tflite file. Received: None"):
        tflite_export.inspect(None)
    with pytest.raises(ValueError, match=r"whole and unchanged; .* Received: 0 bytes"):
        tflite_export.inspect(write(tmp_path, b""))
