"""A model and what it is written out as compute the same, of Keras's layers only, with the same weights."""

import functools

import keras
import numpy as np
import pytest
from support import any_models

import keras_prune as kp
from keras_prune._keras import flatten

pytestmark = pytest.mark.core


@functools.cache
def both(name):
    model = any_models.make(name)
    return model, any_models.expanded(model, name)


@pytest.mark.parametrize("name", any_models.MODELS)
def test_the_outputs_are_those_of_the_model_at_any_batch_size(name):
    model, made = both(name)
    for batch in (1, 4, 9):
        any_models.assert_same(model, made, any_models.data(name, batch, batch))
    any_models.assert_same(model, made, any_models.data(name, 4), training=True)
    one, other = model(any_models.data(name, 2)), made(any_models.data(name, 2))
    keras.tree.assert_same_structure(one, other)


@pytest.mark.parametrize("name", any_models.MODELS)
def test_it_is_a_functional_model_of_known_layers_with_the_weights_of_the_model(name):
    model, made = both(name)
    assert type(made) is keras.Model.__new__(keras.Model, made.inputs, made.outputs).__class__
    known = ("keras.", "keras_prune.")
    assert all(f"{type(part).__module__}.".startswith(known) for part in flatten(made))
    assert not any(isinstance(part, keras.Model) for part in made.layers)
    assert kp.expansion.report(made).whole == ()

    def values(of):
        return np.sort(np.concatenate([np.ravel(weight) for weight in map(keras.ops.convert_to_numpy, of)]))

    assert np.array_equal(values(model.trainable_variables), values(made.trainable_variables))
    assert not {*map(id, model.variables)} & {*map(id, made.variables)}
    names = [part.name for part in made.layers]
    assert len({*names}) == len(names)
