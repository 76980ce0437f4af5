"""Writing a model out leaves it as it was, and what is trained of the two is not trained of the other."""

import random

import keras
import numpy as np
import pytest
from keras import layers, ops
from support import any_models
from support.versions import is_keras

import keras_prune as kp
from keras_prune._keras import flatten, nodes_of

pytestmark = pytest.mark.core
TRAINED = ["vision transformer", "language model", "residual network", "weights of its own", "models inside"]


def values(model):
    return [ops.convert_to_numpy(each) for each in model.variables]


def same_values(before, model):
    return all(np.array_equal(*pair) for pair in zip(before, values(model), strict=True))


@pytest.mark.parametrize("name", TRAINED)
def test_a_step_of_training_changes_both_alike_and_each_alone(name):
    model = any_models.make(name)
    made = any_models.expanded(model, name)
    x = any_models.data(name, 8)
    y = np.random.default_rng(1).normal(size=model(x).shape).astype("float32")
    before = values(made)
    losses = []
    for each, other in ((model, made), (made, model)):
        left = values(other)
        each.compile(keras.optimizers.SGD(0.01), "mse")
        losses.append(each.train_on_batch(x, y))
        assert same_values(left, other)
    assert not same_values(before, made)
    np.testing.assert_allclose(*losses, rtol=1e-5)
    (found,), (expected,) = any_models.outputs(made, x), any_models.outputs(model, x)  # with what the norms averaged
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def random_state():
    return random.getstate(), str(np.random.get_state())  # noqa: NPY002


def state(model):
    """What may not change, by layer."""
    held = []
    for part in flatten(model):
        attributes = {key: id(value) for key, value in vars(part).items() if key != "_torch_params"}
        held.append((type(part), len(nodes_of(part)), len(part._outbound_nodes), attributes))
    return held


class Fails(keras.Model):
    """Its own code needs numbers, after its layers were called."""

    def __init__(self):
        super().__init__()
        self.block, self.drop = any_models.Block(8), layers.Dropout(0.2)

    def call(self, x):
        x = self.drop(self.block(x))
        return x if float(ops.max(x)) > 0 else -x


@pytest.mark.parametrize("name", ["vision transformer", "padded", "a backbone as a layer", "fails"])
def test_the_model_stays_as_it_was(name):
    model = any_models.called(Fails(), (3, 8)) if name == "fails" else any_models.make(name)
    inputs = None if name == "fails" else any_models.data(name, 3)
    expected = None if name == "fails" else any_models.outputs(model, inputs)
    held, numbers = state(model), values(model)
    next_name = layers.Dense(1).name
    keras.utils.set_random_seed(3)
    before = random_state()
    if name == "fails":
        with pytest.raises(ValueError, match="Received: 'fails' of class Fails"):
            kp.expand(model)
    else:
        any_models.expanded(model, name)
    assert random_state() == before
    if is_keras("3.13"):  # before it, `set_random_seed` leaves Keras's own generator as it is
        drawn = ops.convert_to_numpy(keras.random.normal((3,)))
        keras.utils.set_random_seed(3)
        assert np.array_equal(drawn, ops.convert_to_numpy(keras.random.normal((3,))))
    assert int(layers.Dense(1).name.split("_")[1]) == int(f"{next_name}_0".split("_")[1]) + 1
    assert state(model) == held
    assert same_values(numbers, model)
    if expected is not None:
        for one, other in zip(any_models.outputs(model, inputs), expected, strict=True):
            assert np.array_equal(one, other)
