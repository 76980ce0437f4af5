"""MACs counted from the operators of exported files, against `keras_prune.cost` of their models, and by hand."""

import keras
import numpy as np
import pytest
from keras import layers
from support import tflite_files as made

import keras_prune as kp
import tflite_export
from tflite_export.reader import flatbuffer
from tflite_export.reader.flatbuffer import Graph, Model, Operator
from tflite_export.reader.macs import count_macs
from tflite_export.reader.tensors import Tensor

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow converts")


def mobile():
    """What MobileNetV2 is made of, small, and more kinds of convolutions."""
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(inputs)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    for strides in (1, 2):
        y = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(16, 1, use_bias=False)(x)))
        y = layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)(y)
        y = layers.BatchNormalization()(layers.Conv2D(8, 1, use_bias=False)(layers.ReLU(6.0)(y)))
        x = layers.Add()([x, y]) if strides == 1 else y
    x = layers.SeparableConv2D(6, 3, padding="same")(x)
    x = layers.Conv2DTranspose(5, 3, strides=2, padding="same")(x)
    x = layers.Conv2D(4, 3, groups=1, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


def sequences():
    inputs = keras.Input((12, 6))
    x = layers.Conv1D(8, 3, padding="same")(inputs)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 4)(x, x)])
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(layers.Dense(7)(x))))


@pytest.mark.parametrize("build", [mobile, sequences])
def test_a_file_multiplies_what_cost_says(build, tmp_path):
    model = kp.strip_pruning(kp.prune_weights(build(), 0.5))
    tflite_export.export(model, tmp_path / "model.tflite", sparse=False)
    found, expected = tflite_export.inspect(tmp_path / "model.tflite"), kp.cost(model)
    assert (found.macs, found.uncounted) == (expected.macs, ())
    assert found.effective_macs == expected.effective_macs < expected.macs
    assert f"{expected.macs:,}" in str(found)


def timed():
    """A Dense layer on all steps, whose batch is joined with the steps, and convolutions with gaps."""
    inputs = keras.Input((12, 6))
    x = layers.TimeDistributed(layers.Dense(5, activation="relu"))(inputs)
    x = layers.Conv1D(4, 3, dilation_rate=2)(x)
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layers.Concatenate()([x, x]))))


@pytest.mark.parametrize("build", [mobile, sequences, timed])
def test_a_free_batch_counts_as_one_sample(build, tmp_path):
    model = build()
    options = {"sparse": False, "verify": False}
    tflite_export.export(model, tmp_path / "free.tflite", batch_size=None, **options)
    found = tflite_export.inspect(tmp_path / "free.tflite")
    assert found.inputs[0].shape[0] == -1
    assert (found.macs, found.uncounted) == (kp.cost(model).macs, ())


def test_files_of_the_plain_converter(tmp_path):
    """They are for any batch; old versions wrote gaps in a convolution as batches."""
    import tensorflow as tf

    model = mobile()
    (tmp_path / "plain.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    found = tflite_export.inspect(tmp_path / "plain.tflite")
    assert found.inputs[0].shape == (-1, 16, 16, 3)
    assert found.macs == kp.cost(model).macs


@pytest.mark.parametrize("kind", made.KINDS)
def test_every_kind_of_file_multiplies_the_same(tflite_files, kind):
    model, paths = tflite_files
    found, expected = tflite_export.inspect(paths[kind]), kp.cost(model)
    by_hand = 9 * (27 * 8) + 9 * 9 * 8 + 72 * 32 + 32 * 5  # an image of 3 x 3 is left after the first convolution
    assert found.macs == expected.macs == by_hand
    if kind in ("float32", "float16", "sparse"):  # where quantization made no further zeros
        assert found.effective_macs == expected.effective_macs
        assert found.parameters == model.count_params()
        assert found.non_zeros == sum(np.count_nonzero(weight) for weight in model.get_weights())


def graph(name, shapes, constants=()):
    """A file of one operator: the shapes of what it reads, the last of what it makes."""
    none = np.zeros(0)
    tensors = tuple(
        Tensor(
            str(place),
            shape,
            "float32",
            np.ones(int(np.prod(shape)), "float32").view("uint8") if place in constants else None,
            none,
            none,
            0,
            False,
            None,
            0,
        )
        for place, shape in enumerate(shapes)
    )
    operator = Operator(name, tuple(range(len(shapes) - 1)), (len(shapes) - 1,))
    return Model("", (Graph(tensors, none, none, (operator,)),), ())


@pytest.mark.parametrize(
    ("name", "shapes", "macs"),
    [
        ("BATCH_MATMUL", [(2, 7, 5), (2, 5, 3), (2, 7, 3)], 2 * 7 * 5 * 3),
        ("BATCH_MATMUL", [(2, 5, 7), (2, 5, 3), (2, 7, 3)], 2 * 7 * 5 * 3),  # the first turned round
        ("FULLY_CONNECTED", [(7, 5), (4, 5), (4,), (7, 4)], 7 * 5 * 4),
        ("CONV_3D", [(1, 4, 4, 4, 2), (2, 2, 2, 2, 3), (1, 3, 3, 3, 3)], 27 * 8 * 2 * 3),
        ("TRANSPOSE_CONV", [(4,), (5, 3, 3, 2), (1, 4, 4, 2), (1, 8, 8, 5)], 16 * 9 * 2 * 5),
        ("ADD", [(7, 5), (7, 5), (7, 5)], 0),
    ],
)
def test_operators_by_hand(name, shapes, macs):
    assert count_macs(graph(name, shapes)).total == macs


def test_weights_that_are_zero_are_left_out():
    model = graph("BATCH_MATMUL", [(7, 5), (5, 3), (7, 3)], constants=(1,))
    weight = model.graphs[0].tensors[1]
    weight.data.view("float32")[:4] = 0
    found = count_macs(model)
    assert (found.total, found.effective) == (105, 7 * (15 - 4))


def chain(*steps, shape):
    """A file whose input is followed by operators: the name of each, the shape that it makes, its constants."""
    tensors, operators, none = [(shape, None)], [], np.zeros(0)
    for name, made_shape, *constants in steps:
        reads = [len(tensors) - 1, *range(len(tensors), len(tensors) + len(constants))]
        tensors += [(each.shape, each) for each in constants]
        operators.append(Operator(name, tuple(reads), (len(tensors),)))
        tensors.append((made_shape, None))
    stored = tuple(
        Tensor(
            str(place),
            each,
            "float32" if value is None else value.dtype.name,
            None if value is None else value.reshape(-1).view("uint8"),
            none,
            none,
            0,
            False,
            None,
            0,
        )
        for place, (each, value) in enumerate(tensors)
    )
    return Model("", (Graph(stored, np.array([0]), np.array([len(tensors) - 1]), tuple(operators)),), ())


W, BLOCK = np.ones((3, 5), "float32"), np.array([2, 2], "int32")
GAPS = np.ones((4, 3, 3, 2), "float32")


@pytest.mark.parametrize(
    ("shape", "steps", "macs"),
    [
        ((-1, 5), [("FULLY_CONNECTED", (-1, 3), W)], 15),
        ((-1, 7, 5), [("RESHAPE", (-1, 5)), ("FULLY_CONNECTED", (-1, 3), W)], 7 * 15),
        ((-1, 7, 5), [("FULLY_CONNECTED", (-1, 3), W)], 7 * 15),
        ((-1, 5), [("TRANSPOSE", (5, -1)), ("TRANSPOSE", (-1, 5)), ("FULLY_CONNECTED", (-1, 3), W)], 15),
        (
            (-1, 8, 8, 2),
            [
                ("SPACE_TO_BATCH_ND", (-1, 6, 6, 2), BLOCK),
                ("CONV_2D", (-1, 4, 4, 4), GAPS),
                ("BATCH_TO_SPACE_ND", (-1, 4, 4, 4), BLOCK),
            ],
            4 * 16 * 9 * 2 * 4,
        ),
        ((-1, 5), [("TILE", (-1, 5)), ("FULLY_CONNECTED", (-1, 3), W)], None),  # how often is unknown
        ((-1, -1, 5), [("FULLY_CONNECTED", (-1, -1, 3), W)], None),  # as many steps as it is given
        ((-1, 5), [("WHERE", (-1, 2)), ("FULLY_CONNECTED", (-1, 3), np.ones((3, 2), "float32"))], None),
    ],
)
def test_a_free_batch_by_hand(shape, steps, macs):
    found = count_macs(chain(*steps, shape=shape))
    assert found.total == found.effective == macs
    assert bool(found.unknown) is (macs is None)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("WHILE", [(1,), (1,)]),
        ("CUSTOM Mine", [(3, 3), (3, 3)]),
        ("OF_A_LATER_LITERT", [(3, 3), (3, 3)]),
        ("CONV_2D", [(1, -1, 8, 3), (4, 3, 3, 3), (1, -1, 6, 4)]),
        ("FULLY_CONNECTED", [(7, 5), (7, 4)]),  # no weight: absurd
        ("FULLY_CONNECTED", [(7, 5), (), (7, 4)]),
        ("BATCH_MATMUL", [(5,), (5,), (0,)]),
    ],
)
def test_what_is_not_known_is_not_zero(name, shapes):
    found = count_macs(graph(name, shapes))
    assert (found.total, found.effective, found.unknown) == (None, None, (name,))


def test_all_names_of_operators_are_litert_s():
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    from tflite_export.reader import macs

    known = {name for name in vars(BuiltinOperator) if not name.startswith("_")}
    assert macs._FREE | set(macs._RULES) <= known
    assert not macs._FREE & set(macs._RULES)
    assert not set(flatbuffer.THROUGH) & set(macs._RULES)
