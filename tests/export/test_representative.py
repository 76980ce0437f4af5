"""Representative data in the forms in which people have them."""

import keras
import numpy as np
import pytest

import tflite_export
from tflite_export.keras_models.representative import MOST, Batches, collected, example_of, standardize_data
from tflite_export.keras_models.signature import inputs_of, structure_of

X = np.random.default_rng(0).uniform(0, 1, (12, 8)).astype("float32")
Y = np.arange(12)


def single():
    return keras.Sequential([keras.Input((8,), name="x"), keras.layers.Dense(3)])


def double(**names):
    a, b = keras.Input((8,), name="a"), keras.Input((2,), name="b")
    return keras.Model([a, b], keras.layers.Concatenate()([a, b]))


class Pairs(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, place):
        return X[3 * place : 3 * place + 3], Y[3 * place : 3 * place + 3]


def arrays_of(model, data):
    data = collected(data)
    structure = structure_of(model, example_of(data))
    return standardize_data(structure, inputs_of(model, structure, 1), data)


def rows():
    for row in X:
        yield [row[None]]


ONE = {
    "array": lambda: X,
    "list of one": lambda: [X],
    "function": lambda: rows,
    "generator": rows,
    "iterator": lambda: iter([X[:5], X[5:]]),
    "list of batches": lambda: [X[:5], X[5:]],
    "list of lists": lambda: [[X[:5]], [X[5:]]],
    "inputs and targets": lambda: (X, Y),
    "inputs, targets, weights": lambda: (X, Y, Y),
    "generator of pairs": lambda: ((X[i : i + 4], Y[i : i + 4]) for i in range(0, 12, 4)),
    "samples": lambda: iter(X),
    "dict": lambda: {"x": X},
    "generator of dicts": lambda: ({"x": X[i : i + 4]} for i in range(0, 12, 4)),
    "list of dicts": lambda: [{"x": X[:5]}, {"x": X[5:]}],
    "dicts with targets": lambda: (({"x": X[i : i + 4]}, Y[i : i + 4]) for i in range(0, 12, 4)),
    "PyDataset": Pairs,
}


@pytest.mark.parametrize("form", ONE)
def test_forms_for_one_input(form):
    (found,) = arrays_of(single(), ONE[form]())
    np.testing.assert_array_equal(found, X)
    assert found.dtype == "float32"


B = X[:, :2] * 3
TWO = {
    "list": lambda: [X, B],
    "tuple": lambda: (X, B),
    "dict": lambda: {"b": B, "a": X},
    "generator of lists": lambda: ([X[i : i + 4], B[i : i + 4]] for i in range(0, 12, 4)),
    "function with targets": lambda: lambda: (((X[i : i + 4], B[i : i + 4]), Y) for i in range(0, 12, 4)),
    "generator of dicts": lambda: ({"b": B[i : i + 4], "a": X[i : i + 4]} for i in range(0, 12, 4)),
    "list of batches": lambda: [[X[:5], B[:5]], [X[5:], B[5:]]],
    "samples": lambda: ([x, b] for x, b in zip(X, B, strict=True)),
}


@pytest.mark.parametrize("form", TWO)
def test_forms_for_two_inputs(form):
    first, second = arrays_of(double(), TWO[form]())
    np.testing.assert_array_equal(first, X)
    np.testing.assert_array_equal(second, B)


def test_what_has_no_end_is_cut():
    def forever():
        while True:
            yield X

    assert sum(map(len, collected(forever))) >= MOST
    assert len(arrays_of(single(), forever)[0]) == MOST


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("form", [lambda x: x, lambda x: iter([x]), lambda x: [x[:5], x[5:]]])
def test_numbers_are_finite(value, form):
    data = X.copy()
    data[3, 2] = value
    with pytest.raises(ValueError, match=r"must hold finite numbers.*Received: 1 of 96 values of the input 'x'"):
        arrays_of(single(), form(data))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (iter(()), r"at least one batch. Received: an empty tuple_iterator"),
        (iter([X[:, :5]]), r"'x' must have shape \(samples, 8\). Received"),
        (iter([{"y": X}]), r"`representative_data` must name \['x'\]. Received: \['y'\]"),
        ("x", r"'x' must have shape \(samples, 8\). Received"),
    ],
)
def test_what_does_not_fit(data, message):
    with pytest.raises(ValueError, match=message):
        arrays_of(single(), data)


def test_examples_of_batches():
    assert example_of(X) is X
    for data in (Batches([(X, Y)]), Batches([[X]]), Batches([X])):
        assert example_of(data) is X


def test_an_export_takes_a_function_on_every_backend(tmp_path):
    report = tflite_export.export(
        single(), tmp_path / "model.tflite", quantize="int8", representative_data=rows, inputs=X, batch_size=None
    )
    assert report.weight_types == {"int8": 24}
    assert report.error < 0.1
    assert not any("single sample" in line for line in report.warnings)


def test_datasets_of_tensorflow(tmp_path):
    tf = pytest.importorskip("tensorflow")
    for data in (tf.data.Dataset.from_tensor_slices((X, Y)).batch(5), tf.data.Dataset.from_tensor_slices(X)):
        (found,) = arrays_of(single(), data)
        np.testing.assert_array_equal(found, X)
