"""The inputs of weights where a layer is called in steps, or has groups: each against NumPy."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.zoo import BACKEND

import keras_prune as kp
from keras_prune import _keras
from keras_prune import importance as importances
from keras_prune.importance.from_activations import entropy
from keras_prune.masking.masked_weights import find_masked
from keras_prune.measurement.layer_inputs import input_hooks
from keras_prune.measurement.weight_statistics import ModelStatistics, SingleWeights

pytestmark = pytest.mark.core
NAMES = ("wanda", "activation_weight", "mean_activation", "apoz", "entropy")


def randomised(model):
    """With biases that are not zero."""
    rng = np.random.default_rng(3)
    model.set_weights([rng.uniform(-0.7, 0.7, value.shape) for value in model.get_weights()])
    return model


def sequential(shape, *parts):
    return randomised(keras.Sequential([keras.Input(shape), *parts]))


def values(variable):
    return np.array(ops.convert_to_numpy(variable.value), dtype="float64")


class Samples:
    """What entropy asks for."""

    def __init__(self, found):
        self.samples = lambda binding: found


def expected(name, weight, read):
    """Scores of a weight of shape (..., inputs, outputs) that reads (samples, places, inputs, outputs or 1)."""
    read = np.broadcast_to(read, (*read.shape[:2], *weight.shape[-2:]))
    means = read.mean(axis=1, dtype="float32").reshape(len(read), -1)
    scores = {
        "wanda": lambda: np.sqrt(np.square(read).mean(axis=(0, 1))),
        "activation_weight": lambda: np.abs(read).mean(axis=(0, 1)),
        "mean_activation": lambda: np.abs(read).mean(axis=(0, 1)),
        "apoz": lambda: (read > 0).mean(axis=(0, 1)),
        "entropy": lambda: entropy(None, Samples(means)).reshape(weight.shape[-2:]),
    }[name]()
    relative = name in ("mean_activation", "apoz", "entropy")  # to the layer
    return scores / (scores.mean() if relative else 1) * np.abs(weight)


def check(model, x, reads):
    """Compares the scores of each weight with those of what it reads: (samples, places, inputs, outputs or 1)."""
    wrapped = kp.wrap_pruning(model)
    statistics = ModelStatistics(wrapped, x)
    units = {masked.path: SingleWeights(masked) for masked in find_masked(wrapped)}
    assert set(units) == set(reads)
    for path, unit in units.items():
        for name in NAMES:
            found = importances.weight_scorer(name)(unit, statistics)
            wanted = expected(name, unit.values, reads[path])
            np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-6, err_msg=f"{name} of {path}")


def places(read):
    """(samples, ..., channels) as (samples, places, channels, 1)."""
    return read.reshape(len(read), -1, read.shape[-1], 1)


@pytest.mark.parametrize(
    ("kind", "shape", "filters", "groups"),
    [
        (layers.Conv1D, (5, 6), 9, 3),
        (layers.Conv2D, (4, 5, 4), 6, 2),
        (layers.Conv3D, (3, 3, 3, 4), 4, 2),
        (layers.Conv2D, (4, 4, 3), 6, 3),  # depthwise, written as groups
    ],
)
def test_filters_read_the_channels_of_their_group(kind, shape, filters, groups, rng):
    model = sequential(shape, kind(filters, 2, groups=groups, name="conv"))
    x = rng.normal(size=(20, *shape)).astype("float32") * np.arange(1, shape[-1] + 1)
    size = shape[-1] // groups
    parts = [places(x)[:, :, size * (out // (filters // groups)) :][:, :, :size] for out in range(filters)]
    check(model, x, {"conv/kernel": np.concatenate(parts, axis=-1)})


@pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow computes them on a GPU only")
def test_channels_may_come_first(rng):
    model = sequential((4, 5, 5), layers.Conv2D(6, 2, groups=2, data_format="channels_first", name="conv"))
    x = rng.normal(size=(20, 4, 5, 5)).astype("float32") * np.arange(1, 5)[:, None, None]
    read = places(np.moveaxis(x, 1, -1))
    check(model, x, {"conv/kernel": np.concatenate([read[:, :, :2]] * 3 + [read[:, :, 2:]] * 3, axis=-1)})


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def run_cell(cell, x, states):
    """One step of a cell of Keras in NumPy: what its recurrent kernel reads, and the new states."""
    kernel, recurrent, bias, h = values(cell.kernel), values(cell.recurrent_kernel), values(cell.bias), states[0]
    if isinstance(cell, layers.SimpleRNNCell):
        return h[:, :, None], [np.tanh(x @ kernel + h @ recurrent + bias)]
    if isinstance(cell, layers.LSTMCell):
        i, f, c, o = np.split(x @ kernel + h @ recurrent + bias, 4, axis=1)
        memory = sigmoid(f) * states[1] + sigmoid(i) * np.tanh(c)
        return h[:, :, None], [sigmoid(o) * np.tanh(memory), memory]
    given, own = (bias, 0) if bias.ndim == 1 else bias
    a, b = np.split(x @ kernel + given, 3, axis=1), np.split(recurrent, 3, axis=1)
    own = np.split(np.broadcast_to(own, recurrent.shape[1]), 3)
    z, r = (sigmoid(a[gate] + h @ b[gate] + own[gate]) for gate in (0, 1))
    if cell.reset_after:
        last, read = r * (h @ b[2] + own[2]), h[:, :, None]
    else:
        last = (r * h) @ b[2]
        read = np.repeat(np.stack([h, h, r * h], axis=-1), cell.units, axis=-1)
    return read, [z * h + (1 - z) * np.tanh(a[2] + last)]


def run(cells, x, begin=None, mask=None, backwards=False):
    """Cells on each other: what the kernels of each read at each step, and what the last one made, step by step."""
    states = begin or [[np.zeros((len(x), c.units))] * (2 if isinstance(c, layers.LSTMCell) else 1) for c in cells]
    reads, made = [([], []) for _ in cells], []
    for step in range(x.shape[1])[:: -1 if backwards else 1]:
        given = x[:, step].astype("float64")
        for index, cell in enumerate(cells):
            before = states[index]
            read, after = run_cell(cell, given, before)
            reads[index][0].append(given[:, :, None])
            reads[index][1].append(read)
            states[index], given = after, after[0]
            if mask is not None:  # the states stay, but the next cell reads what was computed
                kept = mask[:, step, None]
                states[index] = [np.where(kept, new, old) for new, old in zip(after, before, strict=True)]
        made.append(given)
    return [tuple(np.stack(part, axis=1) for part in pair) for pair in reads], np.stack(made, axis=1)


def stack():
    return [layers.LSTMCell(4), layers.GRUCell(3, reset_after=False), layers.SimpleRNNCell(5)]


def paths(prefix, cells, reads):
    return {
        f"{prefix}/{cell.name}/{name}": read
        for cell, pair in zip(cells, reads, strict=True)
        for name, read in zip(("kernel", "recurrent_kernel"), pair, strict=True)
    }


@pytest.mark.parametrize("masked", [False, True])
def test_stacked_cells_read_the_cell_before_them_and_their_own_states(masked, rng):
    x = rng.normal(size=(12, 5, 3)).astype("float32")
    parts = [layers.RNN(stack(), name="stacked", go_backwards=masked)]
    if masked:
        x[:4, 3:] = 0  # the first samples are shorter
        parts.insert(0, layers.Masking())
    model = sequential((5, 3), *parts)
    cells = model.get_layer("stacked").cell.cells
    reads, made = run(cells, x, mask=(x != 0).any(axis=-1) if masked else None, backwards=masked)
    if not masked:
        np.testing.assert_allclose(made[:, -1], ops.convert_to_numpy(model(x)), rtol=1e-4, atol=1e-5)
    check(model, x, paths("stacked/stacked_rnn_cells", cells, reads))


@pytest.mark.parametrize("make", [lambda: layers.SimpleRNN(4), lambda: layers.LSTM(4), lambda: layers.GRU(4)])
def test_states_that_are_passed_are_read_at_the_first_step(make, rng):
    given, begin = keras.Input((3, 2), name="given"), keras.Input((4,), name="begin")
    layer = make()
    states = [begin] * (2 if isinstance(layer, layers.LSTM) else 1)
    model = randomised(keras.Model([given, begin], layer(given, initial_state=states)))
    x = [rng.normal(size=(12, *shape)).astype("float32") for shape in ((3, 2), (4,))]
    reads, _ = run([layer.cell], x[0], begin=[[x[1]] * len(states)])
    check(model, x, paths(layer.name, [layer.cell], reads))


def test_a_state_that_is_reset_is_what_the_last_gate_reads(rng):
    x = rng.normal(size=(12, 5, 3)).astype("float32")
    model = sequential((5, 3), layers.GRU(4, reset_after=False, name="gru"))
    cell = model.layers[0].cell
    reads, _ = run([cell], x)
    check(model, x, paths("gru", [cell], reads))


def test_both_directions_of_cells(rng):
    x = rng.normal(size=(12, 5, 3)).astype("float32")
    model = sequential((5, 3), layers.Bidirectional(layers.RNN([layers.GRUCell(3), layers.LSTMCell(2)]), name="both"))
    both = model.layers[0]
    reads = {}
    for layer in (both.forward_layer, both.backward_layer):
        cells = layer.cell.cells
        found, _ = run(cells, x, backwards=layer.go_backwards)
        reads |= paths(f"both/{layer.name}/{layer.cell.name}", cells, found)
    check(model, x, reads)


def inner():
    """A residual model with a recurrent layer, and layers that are made of layers."""
    given = keras.Input((4, 6))
    x = layers.Add()([given, layers.GRU(6, return_sequences=True, name="gru")(given)])
    y = layers.MultiHeadAttention(2, 3, name="attention")(x, x)
    y = layers.Dense(3, activation="relu", name="dense")(layers.Add()([x, y]))
    y = layers.Conv1D(6, 2, groups=3, name="grouped")(y)
    return randomised(keras.Model(given, layers.Dense(2, name="out")(layers.Flatten()(y)), name="inner"))


@pytest.mark.parametrize("times", [1, 2])
def test_models_in_time_distributed_read_at_all_steps(times, rng):
    steps = (2, 2)[:times]
    x = rng.normal(size=(12, *steps, 4, 6)).astype("float32")
    flat = x.reshape(-1, 4, 6)
    plain, distributed = inner(), inner()
    for count in range(times):
        distributed = layers.TimeDistributed(distributed, name=f"each{count}")
    model = keras.Sequential([keras.Input((*steps, 4, 6)), distributed])
    assert [a.shape for a in model.get_weights()] == [a.shape for a in plain.get_weights()]
    wholes, parts = kp.wrap_pruning(plain), kp.wrap_pruning(model)
    whole, part = ModelStatistics(wholes, flat), ModelStatistics(parts, x)
    pairs = list(zip(find_masked(wholes), find_masked(parts), strict=True))
    assert len(pairs) == 9
    for one, other in pairs:
        assert other.path.endswith(one.path)
        for name in NAMES[:4]:  # a step is as good as a sample: neither matters to a mean over both
            wanted = importances.weight_scorer(name)(SingleWeights(one), whole)
            found = importances.weight_scorer(name)(SingleWeights(other), part)
            np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-6, err_msg=f"{name} of {other.path}")
    unit = next(SingleWeights(other) for one, other in pairs if one.path == "dense/kernel")
    read = ops.convert_to_numpy(keras.Model(plain.inputs, plain.get_layer("dense").input)(flat))
    wanted = expected("entropy", unit.values, places(read.reshape(12, -1, 6)))  # steps are of one sample
    np.testing.assert_allclose(importances.weight_scorer("entropy")(unit, part), wanted, rtol=1e-3)


@keras.saving.register_keras_serializable(package="tests")
class Cell(layers.Layer):
    """A cell made of a layer."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = self.output_size = units
        self.dense = layers.Dense(units, activation="tanh", name="dense")

    def build(self, shape):
        self.dense.build((None, shape[-1] + self.units))

    def call(self, inputs, states):
        state = self.dense(ops.concatenate([inputs, states[0]], axis=-1))
        return state, [state]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="tests")
class OwnCell(Cell):
    """A cell that nobody but its author knows."""

    def get_prunable_weights(self):
        return {"kernel": self.dense.kernel}


def test_layers_in_cells_of_a_users_own_are_seen(rng):
    x = rng.normal(size=(12, 5, 3)).astype("float32")
    model = sequential((5, 3), layers.RNN(Cell(4, name="cell"), name="own"))
    state, kernel, bias = np.zeros((12, 4)), *map(values, model.weights)
    reads = []
    for step in range(5):
        reads.append(np.concatenate([x[:, step], state], axis=-1))
        state = np.tanh(reads[-1] @ kernel + bias)
    check(model, x, {"own/cell/dense/kernel": np.stack(reads, axis=1)[..., None]})


def test_what_is_not_seen_is_named():
    model = sequential((4, 3), layers.RNN(OwnCell(2, name="cell"), name="own"))
    with pytest.raises(ValueError, match=r"inputs of 'own/cell/kernel' are unknown.*targets=\{'own': None\}"):
        kp.prune_weights(model, 0.5, importance="wanda", data=np.zeros((2, 4, 3), "float32"))


def test_layers_are_as_they_were_afterwards(rng):
    model = sequential((5, 3), layers.Bidirectional(layers.LSTM(2, return_sequences=True)), layers.RNN(stack()))
    x = rng.normal(size=(4, 5, 3)).astype("float32")
    parts = _keras.flatten(model)
    before = ops.convert_to_numpy(model(x))
    with input_hooks(model, {id(part): {"kernel": lambda *_: None} for part in parts if hasattr(part, "state_size")}):
        assert model.layers[0].forward_layer.use_cudnn is False  # else both may run without being called
        np.testing.assert_allclose(ops.convert_to_numpy(model(x)), before, rtol=1e-4)
    assert model.layers[0].forward_layer.use_cudnn == "auto"
    assert not any({"call", "inner_loop"} & set(vars(part)) for part in parts)


def test_they_are_measured_while_a_model_trains(rng):
    given = keras.Input((3, 6, 4))
    x = layers.TimeDistributed(keras.Sequential([layers.Conv1D(4, 2, groups=2), layers.Flatten()]), name="each")(given)
    x = layers.RNN([layers.LSTMCell(4), layers.GRUCell(4)], name="stacked")(x)
    model = kp.wrap_pruning(keras.Model(given, layers.Dense(2)(x)))
    model.compile("sgd", "mse")
    data = rng.normal(size=(64, 3, 6, 4)).astype("float32"), rng.normal(size=(64, 2)).astype("float32")
    schedule = kp.PruningSchedule(kp.ConstantSparsity(0.5, begin_step=0), frequency=2, importance="wanda")
    model.fit(*data, epochs=2, verbose=0, callbacks=[schedule])
    for masked in find_masked(model):
        assert masked.kept().sum() == round(masked.size / 2), masked.path
