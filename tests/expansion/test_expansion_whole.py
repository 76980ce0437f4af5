"""Custom layers that stay one layer, each with its reason, and what is written out around them."""

import re

import keras
import numpy as np
import pytest
from keras import layers, ops
from support import any_models
from support.opaque import opaque

import keras_prune as kp
from keras_prune._keras import flatten
from keras_prune.expansion.blame import Differs

pytestmark = pytest.mark.core


class Custom(layers.Layer):
    """Dense layers around a piece of code."""

    def __init__(self, code, **kwargs):
        super().__init__(**kwargs)
        self.first, self.last, self.code = layers.Dense(6, name="first"), layers.Dense(4, name="last"), code

    def call(self, x):
        return self.last(self.code(self.first(x)))


class Sampling(layers.Layer):
    """The noise of a variational autoencoder."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seeds = keras.random.SeedGenerator(1)

    def call(self, x):
        return x + keras.random.normal(ops.shape(x), seed=self.seeds)


class Averages(layers.Layer):
    """State of its own that its call changes."""

    def build(self, shape):
        self.mean = self.add_weight(shape=shape[-1:], trainable=False, initializer="zeros", name="mean")

    def call(self, x):
        self.mean.assign(0.9 * self.mean + 0.1 * ops.mean(x, 0))
        return x - self.mean


def of_data(x):
    return x if ops.max(x) > 0 else -x


def unlike(x):
    """Another function on symbolic tensors than on numbers."""
    return x if isinstance(x, keras.KerasTensor) else 2.0 * x


class ShapeKnown(Custom):
    """Its shape is told, so that Keras need not run it on symbolic tensors to know it."""

    def compute_output_shape(self, shape):
        return (*shape[:-1], 4)


class Eager(keras.Model):
    """Runs its custom layer on numbers only."""

    def __init__(self, custom, **kwargs):
        super().__init__(**kwargs)
        self.block, self.custom, self.head = any_models.Block(8), custom, layers.Dense(3)

    def call(self, x):
        return self.head(self.custom(self.block(x)))


REASONS = {
    "data-dependent": (of_data, ".+"),
    "of the backend": (opaque, "a function of the backend takes no symbolic tensors"),
    "unlike": (unlike, "written out, what was made of it gives outputs that differ by"),
}


@pytest.mark.parametrize("name", REASONS)
def test_code_that_cannot_be_followed_stays_one_layer_and_the_rest_is_written_out(name):
    code, reason = REASONS[name]
    model = any_models.called(Eager(ShapeKnown(code, name="custom")), (3, 8))
    x = np.random.default_rng(0).normal(size=(5, 3, 8)).astype("float32")
    made = kp.expand(model, example=x)  # Keras keeps no shapes of a model that it cannot run on symbolic tensors
    (whole,) = kp.expansion.report(made).whole
    assert whole.kind == "ShapeKnown"
    assert re.search(reason, whole.reason)
    assert sum(isinstance(part, layers.MultiHeadAttention) for part in made.layers) == 1
    assert f"({whole.kind}) stays one layer: {whole.reason}" in str(kp.expansion.report(made))
    any_models.assert_same(model, made, x)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only known of TensorFlow")
def test_a_layer_whose_output_shape_keras_cannot_tell_is_named_in_the_error():
    model = any_models.called(Eager(Custom(of_data, name="custom"), name="eager"), (3, 8))
    with pytest.raises(ValueError, match=r"Custom 'custom': .*Received: 'eager' of class Eager"):
        kp.expand(model, example=np.zeros((2, 3, 8), "float32"))


def test_layers_that_differ_only_together_are_found_in_few_tries():
    ways = [sorted(way) for way in Differs("", "", [[5], [3, 4], [1], [2]]).ways()]
    assert ways == [[5], [3, 4], [1], [2], [3, 4, 5], [1, 2, 3, 4, 5]]


@pytest.mark.parametrize("layer", [Sampling, Averages])
def test_random_and_stateful_layers_stay_and_channels_around_them_are_removed(layer):
    model = keras.Sequential([any_models.FeedForward(8), layer(name="special"), any_models.FeedForward(8)])
    model.build((None, 8))
    made = kp.expand(model)
    (whole,) = kp.expansion.report(made).whole
    assert whole.kind == layer.__name__
    small = kp.prune_channels(model, 0.5).model
    assert small.count_params() < 0.7 * model.count_params()
    assert any(isinstance(part, layer) for part in small.layers)


class Draws(layers.Layer):
    def call(self, x):
        return x * np.random.default_rng().normal()


def test_a_model_whose_outputs_are_random_is_written_out_and_the_report_says_that_it_could_not_be_compared():
    model = any_models.functional(Draws(name="draws"), (5,))
    report = kp.expansion.report(kp.expand(model))
    assert [layer.path for layer in report.whole] == ["draws"]
    assert report.remarks == ("Its outputs are random, so that the two could not be compared",)
    assert report.remarks[0] in str(report)


class Plain(layers.Dense):
    """A layer of Keras with another constructor, which its configuration does not have."""

    def __init__(self, width):
        super().__init__(2 * width, activation="relu")
        self.width = width

    def get_config(self):
        return {"width": self.width}

    def twice(self):
        return 2 * self.units


class Other(layers.Dense):
    def call(self, x):
        return super().call(x) + 1


def test_a_subclass_that_overrides_nothing_of_the_computation_is_a_layer_of_keras():
    model = keras.Sequential([keras.Input((5,)), Plain(4), Other(3), layers.Dense(2)])
    made = kp.expand(model)
    assert [type(part) for part in flatten(made)].count(layers.Dense) == 2
    assert kp.expansion.report(made).whole == ()
    assert [layer.kind for layer in kp.expansion.report(made).layers] == ["Other"]
    assert type(model.layers[0]) is Plain
    again = keras.Model.from_config(made.get_config())
    again.set_weights(made.get_weights())
    x = np.random.default_rng(0).normal(size=(5, 5)).astype("float32")
    any_models.assert_same(model, again, x)
    assert kp.prune_channels(model, 0.5).model.count_params() < model.count_params()
    alone = keras.Sequential([keras.Input((5,)), Plain(4), layers.Dense(2)])
    small = kp.prune_channels(alone, 0.5).model
    assert [part.units for part in small.layers if isinstance(part, layers.Dense)] == [4, 2]


class Frozen(layers.Layer):
    """Its normalization and its dropout are those of inference in training too."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense, self.norm, self.drop = layers.Dense(6), layers.BatchNormalization(), layers.Dropout(0.5)
        self.free = layers.BatchNormalization()

    def call(self, x, training=None):
        return self.free(self.drop(self.norm(self.dense(x), training=False), training=False), training=training)


def test_calls_without_training_stay_so_in_training():
    model = any_models.functional(Frozen(), (5,))
    made = kp.expand(model)
    kinds = [type(part).__name__ for part in made.layers]
    assert kinds.count("InferenceBatchNormalization") == kinds.count("BatchNormalization") == 1
    assert "Dropout" not in kinds
    x = np.random.default_rng(0).normal(3, 2, size=(16, 5)).astype("float32")
    for training in (False, True):
        any_models.assert_same(model, made, x, training=training)
    for each in (model, made):
        each.compile(keras.optimizers.SGD(0.01), "mse")
        each.train_on_batch(x, np.zeros((16, 3), "float32"))
    any_models.assert_same(model, made, x)
    assert kp.prune_channels(made, 0.5).model.count_params() < made.count_params()


class Half(layers.Layer):
    """One use of its dropout is that of inference, one is not."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.drop = layers.Dropout(0.5)

    def call(self, x):
        return self.drop(x) + self.drop(x, training=False)


def test_a_layer_that_is_called_both_ways_keeps_the_layer_around_it_whole():
    (whole,) = kp.expansion.report(kp.expand(any_models.functional(Half(), (5,)))).whole
    assert "with training=False, and other code does not" in whole.reason


class WithoutTraining(any_models.ResNet):
    def call(self, images):
        return super().call(images)


def test_the_report_says_where_fit_runs_the_model_as_at_inference_and_the_graph_not():
    model = any_models.called(WithoutTraining(), (4, 4, 3))
    (remark,) = kp.expansion.report(kp.expand(model)).remarks
    assert "`call` of WithoutTraining has no argument `training`" in remark
    assert "BatchNormalization" in remark
    assert kp.expansion.report(kp.expand(any_models.called(any_models.ResNet(), (4, 4, 3)))).remarks == ()
