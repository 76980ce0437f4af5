"""`autoprune` on a model of custom layers: it is written out first, searched, loaded, trained further and resumed."""

import keras
import numpy as np
import pytest
from keras import layers
from support.autoprune_runs import blobs, decided, search
from support.zoo import predict, value

import keras_prune as kp

pytestmark = pytest.mark.core


class Block(layers.Layer):
    """Two layers around a shortcut."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.wide, self.narrow = layers.Dense(16, activation="relu"), layers.Dense(8)

    def call(self, x):
        return x + self.narrow(self.wide(x))


class Classifier(keras.Model):
    """A model that is no graph."""

    def __init__(self):
        super().__init__()
        self.blocks, self.end = [Block(), Block()], layers.Dense(4, activation="softmax")

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return self.end(x)


@pytest.fixture
def classifier():
    keras.utils.set_random_seed(0)
    model = Classifier()
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*blobs(400, 0), epochs=2, verbose=0)
    return model


def test_a_subclassed_model_is_searched_and_resumed(classifier, quick, tmp_path):
    before = [np.array(value(each)) for each in classifier.weights]
    task = classifier, blobs(400, 0), blobs(200, 1)
    asked = {"methods": ["channels"], "budget": kp.Budget(params=0.7), "max_drop": 0.9}
    result = search(task, tmp_path / "out", **asked, fine_tune_epochs=1)
    small = result.best.load()
    plain = keras.Model(small.inputs, small.outputs)
    assert type(small) is type(plain)  # no class of the original's is needed to load it
    assert small.count_params() <= 0.7 * classifier.count_params()
    x, labels = task[2]
    measured = np.mean(np.asarray(predict(small, x)).argmax(-1) == labels)
    assert result.best.metric == pytest.approx(measured, abs=1e-6)
    small.compile("sgd", "sparse_categorical_crossentropy")
    small.fit(*task[1], epochs=1, verbose=0)
    for old, new in zip(before, classifier.weights, strict=True):
        np.testing.assert_array_equal(old, value(new))
    assert decided(search(task, tmp_path / "out", **asked, fine_tune_epochs=1)) == decided(result)
