"""What expanded models do in training: losses, noise, augmentation; code that fixes `training` itself."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import randomise

import keras_prune as kp

pytestmark = pytest.mark.core
X = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")


class Fixed(layers.Layer):
    """Passes `training=True` on, whatever it is called with."""

    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        self.dense, self.inner = layers.Dense(8), inner

    def call(self, x):
        return self.inner(self.dense(x), training=True)


@pytest.mark.parametrize(
    "inner",
    [lambda: layers.Dropout(0.5, name="inner"), lambda: layers.BatchNormalization(name="inner")],
    ids=["dropout", "batch_normalization"],
)
def test_code_that_trains_at_inference_stays_one_layer_with_the_reason(inner):
    model = keras.Sequential([keras.Input((6,)), Fixed(inner()), layers.Dense(2)])
    (whole,) = kp.expansion.report(kp.expand(model)).whole
    assert whole.reason == "its code calls 'inner' with training=True, at inference too"


def test_a_layer_without_training_may_be_told_to_train():
    model = keras.Sequential([keras.Input((6,)), Fixed(keras.Sequential([layers.Dense(8)])), layers.Dense(2)])
    assert not kp.expansion.report(kp.expand(model)).whole


class Regularised(keras.Model):
    def __init__(self):
        super().__init__()
        self.wide = layers.Dense(8, kernel_regularizer="l2", activation="relu")
        self.noise = layers.GaussianNoise(0.3)
        self.out = layers.Dense(2, activity_regularizer="l2")

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(8,), regularizer="l1", initializer="ones", name="scale")
        super().build(input_shape)

    def call(self, x, training=None):
        y = self.noise(self.wide(x), training=training) * self.scale
        self.add_loss(0.1 * ops.mean(ops.square(y)))
        return self.out(y)


@pytest.fixture
def regularised():
    model = Regularised()
    model(X)
    return randomise(model)


def losses(model):
    model(X)
    return sorted(float(ops.convert_to_numpy(loss)) for loss in model.losses)


def test_losses_and_regularisers_are_those_of_the_model(regularised):
    expected = losses(regularised)
    assert len(expected) == 4
    np.testing.assert_allclose(losses(kp.expand(regularised)), expected, rtol=1e-5)
    small = losses(kp.prune_channels(regularised, 0.5).model)
    assert len(small) == len(expected)  # each, of fewer weights


def test_regularisers_and_constraints_of_own_weights_are_in_the_file(regularised, tmp_path):
    small = kp.prune_channels(regularised, 0.5).model
    small.save(tmp_path / "small.keras")
    assert losses(keras.models.load_model(tmp_path / "small.keras")) == pytest.approx(losses(small), rel=1e-5)


def test_noise_is_there_in_training_only(regularised):
    made = kp.prune_channels(regularised, 0.5).model
    first, again = (ops.convert_to_numpy(made(X, training=True)) for _ in range(2))
    assert np.abs(first - again).max() > 1e-3
    one, other = (ops.convert_to_numpy(made(X, training=False)) for _ in range(2))
    assert np.array_equal(one, other)


class Augmented(keras.Model):
    def __init__(self):
        super().__init__()
        self.augment = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomTranslation(0.2, 0.2)])
        self.conv, self.pool, self.out = layers.Conv2D(8, 3), layers.GlobalAveragePooling2D(), layers.Dense(2)

    def call(self, x, training=False):
        if training:
            x = self.augment(x, training=training)
        return self.out(self.pool(ops.relu(self.conv(x))))


def test_images_are_changed_in_training_only():
    x = np.random.default_rng(0).uniform(size=(2, 8, 8, 3)).astype("float32")
    model = Augmented()
    model(x, training=True)
    result = kp.prune_channels(model, 0.5)
    assert result.report.parameters_after < 0.6 * result.report.parameters_before
    kinds = [type(part).__name__ for part in result.model.layers]
    assert "RandomFlip" in kinds or "Sequential" in kinds
    plain = ops.convert_to_numpy(result.model(x, training=False))
    assert np.abs(ops.convert_to_numpy(result.model(x, training=True)) - plain).max() > 1e-4


def steps(model):
    sizes = []
    for small in kp.IterativePruning(model, steps=3, ratio=0.6):
        small.compile("sgd", "mse")
        small.fit(X, np.ones((8, 2)), verbose=0)
        sizes.append(small.count_params())
    assert model.count_params() > sizes[0] > sizes[1] > sizes[2]


def explained(model):
    result = kp.prune_channels(model, 0.5)
    text = str(kp.explain(model, result))
    assert "wide" in text or "dense" in text


def compared(model):
    model.compile("sgd", "mse", metrics=["mae"])
    data = (X, np.ones((8, 2), "float32"))
    found = kp.compare_methods(model, data, data, methods=("channels",), points=(0.6,), seed=0)
    assert "channels" in str(found)


@pytest.mark.parametrize("use", [steps, explained, compared])
def test_other_functions_on_a_model_with_losses_of_its_own(regularised, use):
    use(regularised)


class Pyramid(layers.Layer):
    """Resizes in its code: the default of `Resizing` is `training=True`, which Keras hands on to the layers behind."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.before, self.after = layers.Conv2D(4, 3, padding="same"), layers.BatchNormalization()
        self.resize = layers.Resizing(8, 8)

    def call(self, x):
        return self.after(self.before(self.resize(x)))


def test_a_default_of_training_is_not_taken_for_the_code_s_own():
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(
        inputs, layers.Dense(2)(layers.Flatten()(Pyramid()(layers.Conv2D(5, 3, padding="same")(inputs))))
    )
    randomise(model)
    made = kp.expand(model)
    assert kp.expansion.report(made).whole == ()
    x = np.random.default_rng(0).normal(size=(3, 4, 4, 3)).astype("float32")
    expected, found = (ops.convert_to_numpy(each(x, training=False)) for each in (model, made))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
