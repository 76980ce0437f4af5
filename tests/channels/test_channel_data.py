"""Importance of channels that is measured: what `data` and `loss` may be, and what they may not."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import batch, outputs, randomise, shared, two_outputs
from support.importance_oracles import mlp, raw, scores, targets

import keras_prune as kp
from keras_prune.channels import ChannelImportance


def two_inputs():
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    x = layers.Dense(6, activation="relu", name="dense")(layers.Concatenate()([a, b]))
    return randomise(keras.Model({"a": a, "b": b}, layers.Dense(2, name="out")(x)))


class Sequence(keras.utils.PyDataset):
    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


def forms(x, y):
    import tensorflow as tf
    import torch

    batches = [(x[:32], y[:32]), (x[32:], y[32:])]
    both = torch.utils.data.TensorDataset(torch.tensor(x), torch.tensor(y))
    return {
        "arrays": (x, y),
        "list": batches,
        "weights": (x, y, np.ones(len(x))),
        "PyDataset": Sequence(batches),
        "tf.data": tf.data.Dataset.from_tensor_slices((x, y)).batch(32),
        "DataLoader": torch.utils.data.DataLoader(both, batch_size=32),
        "tensors": (ops.convert_to_tensor(x), ops.convert_to_tensor(y)),
    }


@pytest.mark.parametrize("importance", ["taylor", "entropy", "loss_change"])
def test_data_may_have_any_form_that_fit_takes(importance):
    model = mlp((6,))
    x = batch(model, 40)
    y = targets(model, x).astype("float32")
    expected = scores(model, importance, (x, y), "mse")["dense0"]
    for name, data in forms(x, y).items():
        assert np.allclose(scores(model, importance, data, "mse")["dense0"], expected, rtol=1e-4, atol=1e-7), name


def test_inputs_may_be_dicts_or_lists():
    model = two_inputs()
    rng = np.random.default_rng(0)
    x = {"b": rng.normal(size=(8, 2)), "a": rng.normal(size=(8, 3)), "more": np.zeros(8)}
    expected = scores(model, "mean_activation", {"a": x["a"], "b": x["b"]})["dense"]
    assert np.array_equal(scores(model, "mean_activation", x)["dense"], expected)
    assert np.array_equal(scores(model, "mean_activation", [(x, None)])["dense"], expected)
    model = randomise(shared())
    pair = batch(model, 8)
    assert np.array_equal(
        scores(model, "mean_activation", pair)["first"], scores(model, "mean_activation", [(pair,)])["first"]
    )


def test_a_loss_may_have_any_form_that_compile_takes():
    model = mlp((6,))
    x = batch(model, 8)
    y = targets(model, x)
    expected = scores(model, "taylor", (x, y), "mse")["dense0"]
    function = lambda true, predicted: ops.mean(ops.square(true - predicted), axis=-1)  # noqa: E731
    for loss in (keras.losses.MeanSquaredError(), function):
        assert np.allclose(scores(model, "taylor", (x, y), loss)["dense0"], expected, rtol=1e-5)
    model.compile(loss="mse")
    assert np.array_equal(scores(model, "taylor", (x, y))["dense0"], expected)
    other = scores(model, "taylor", (x, y), "mae")["dense0"]  # what is passed counts, not what was compiled
    assert not np.allclose(other, expected)


def test_the_losses_of_several_outputs_have_weights():
    model = randomise(two_outputs())
    x = batch(model, 8)
    y = targets(model, x)
    of = {name: scores(model, "taylor", (x, y), {name: "mse"})["conv"] for name in y}
    model.compile(loss={"features": "mse", "classes": "mse"}, loss_weights={"features": 0.0, "classes": 2.0})
    assert np.allclose(scores(model, "taylor", (x, y))["conv"], 2 * of["classes"], rtol=1e-4)


def test_sequential_models_and_lookups():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    inner = keras.Sequential([layers.Dense(7, name="second"), layers.ReLU()], name="inner")
    model = keras.Sequential([keras.Input((3,)), layers.Dense(6, name="first"), inner, layers.Dense(2)])
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    assert list(scores(model, "taylor", (x, y), "mse")) == ["first", "inner/second"]
    words = layers.TextVectorization(output_sequence_length=3)
    words.adapt(["a b c", "c d"])
    text = keras.Input((), dtype="string")
    z = layers.GlobalAveragePooling1D()(layers.Embedding(6, 4, name="embedding")(words(text)))
    model = keras.Model(text, layers.Dense(2)(z))
    x = np.array(["a", "b c", "d"], dtype=object)
    read = outputs(keras.Model(text, z), ops.convert_to_tensor(x.tolist()))[0]
    assert np.allclose(scores(model, raw("mean_activation"), x)["embedding"], np.abs(read).mean(axis=0), rtol=1e-4)


def test_half_precision_is_near_to_full():
    model = mlp((6,))
    half = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(6, activation="relu", dtype="mixed_float16", name="dense0"),
            layers.Dense(2, dtype="mixed_float16"),
        ]
    )
    half.set_weights(model.get_weights())
    x = batch(model, 8)
    y = targets(model, x)
    for importance in ("taylor", "fisher", "mean_activation", "loss_change"):
        full = scores(model, importance, (x, y), "mse")["dense0"]
        assert np.allclose(scores(half, importance, (x, y), "mse")["dense0"], full, rtol=0.05, atol=2e-3)


def test_pruning_in_steps_measures_each_model_anew():
    model = mlp((8,))
    x = batch(model, 16)
    y = targets(model, x)
    model.compile("sgd", "mse")
    steps = kp.IterativePruning(model, 2, 0.75, importance="taylor", data=(x, y))
    widths = []
    for small in steps:
        widths.append(small.get_layer("dense0").units)
        with pytest.raises(ValueError, match="needs a loss"):
            kp.prune_channels(small, 0.5, importance="taylor", data=(x, y))
        small.compile("sgd", "mse")
    assert widths == [4, 2]


def test_sample_weights_count():
    model = mlp((6,))
    x = batch(model, 8)
    y = targets(model, x)
    weight = np.array([1.0] * 4 + [0.0] * 4)
    found = scores(model, "loss_change", (x, y, weight), "mse")["dense0"]
    assert np.allclose(found, scores(model, "loss_change", (x[:4], y[:4]), "mse")["dense0"] / 2, rtol=1e-3, atol=1e-7)


X, Y = np.ones((8, 3), "float32"), np.ones((8, 2), "float32")


@pytest.mark.parametrize(
    ("importance", "data", "loss", "message"),
    [
        ("taylor", None, "mse", "measured on data: pass `data=x`"),
        ("apoz", None, None, "measured on data: pass `data=x`"),
        ("taylor", (X, Y), None, "needs a loss: pass `loss`"),
        ("loss_change", X, "mse", "targets: pass"),
        ("apoz", np.ones((8, 4)), None, r"expected keras_tensor.* \(None, 3\). Received: x of shape \(8, 4\)"),
        ("apoz", np.ones((8, 3, 3)), None, r"Received: x of shape \(8, 3, 3\)"),
        ("apoz", {"b": X}, None, "does not fit the inputs"),
        ("apoz", (X, Y[:7]), None, r"shape \(\(8, 3\), \(7, 2\)\)"),
        ("taylor", [(X, Y[:7])], "mse", r"x of shape \(8, 3\), y of shape \(7, 2\)"),
        ("taylor", (X, np.ones((8, 5))), "mse", r"outputs of shape \(None, 2\).*Received: y of shape \(8, 5\)"),
        ("loss_change", (X, np.ones((8, 5))), "mse", r"outputs of shape \(None, 2\).*Received: y of shape \(8, 5\)"),
        ("apoz", X[:0], None, "at least one sample"),
        ("apoz", [], None, "it holds no batches"),
        ("apoz", [X[:0]], None, "at least one sample"),
        ("apoz", X * np.nan, None, "finite. Received: x with NaN"),
        ("taylor", (X, Y * np.inf), "mse", "finite. Received: y with NaN"),
        ("taylor", (X, Y), "mse_", "mse_"),
        (lambda binding, statistics: np.ones(1), X, None, "one finite score"),
        (lambda binding, statistics: np.full(len(binding.labels), np.nan), X, None, "one finite score"),
    ],
)
def test_bad_data(importance, data, loss, message):
    with pytest.raises(ValueError, match=f"(?s){message}") as caught:
        kp.prune_channels(mlp((6,)), 0.5, importance=importance, data=data, loss=loss)
    assert "Received: " in str(caught.value)


def test_data_that_cannot_be_read_again():
    with pytest.raises(TypeError, match="readable more than once"):
        scores(mlp(), "apoz", (X for _ in range(2)))
    with pytest.raises(TypeError, match="must be arrays"):
        scores(mlp(), "apoz", 3)


def test_data_that_never_end():
    class Endless(list):
        def cardinality(self):
            return -1

    with pytest.raises(ValueError, match="never ends"):
        scores(mlp(), "apoz", Endless())


def test_a_loss_that_is_not_finite():
    def explodes(true, predicted):
        return ops.log(ops.sum(predicted, axis=-1) * 0)

    for importance in ("taylor", "loss_change"):
        with pytest.raises(ValueError, match="must be finite"):
            scores(mlp(), importance, (X, Y), explodes)


@pytest.mark.parametrize("arguments", [{"combine": "min"}, {"normalize": False}, {"normalize": "sum"}, {"score": "l3"}])
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match="Received: "):
        ChannelImportance(**arguments)
