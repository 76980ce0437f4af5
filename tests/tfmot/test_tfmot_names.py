"""Where tfmot has its names, and what the names say that do not exist here."""

import importlib

import keras
import numpy as np
import pytest
from keras import layers
from support.tfmot_runs import fit, zeros

import keras_prune as kp
from keras_prune import tfmot

pytestmark = pytest.mark.core
sparsity, clustering, quantization = tfmot.sparsity.keras, tfmot.clustering.keras, tfmot.quantization.keras
Init = clustering.CentroidInitialization


@pytest.fixture
def model():
    return keras.Sequential([keras.Input((8,)), layers.Dense(8, name="first"), layers.Dense(2, name="second")])


def values(model):
    """How many values the kernel of each layer has."""
    plain = clustering.strip_clustering(model)
    return [len(np.unique(layer.get_weights()[0])) for layer in plain.layers if layer.weights]


def test_names_are_where_tfmot_has_them():
    modules = {"clustering", "quantization", "sparsity"}
    assert {name: getattr(tfmot, name) for name in set(tfmot.__all__) - modules} == {
        name: getattr(sparsity, name) for name in sparsity.__all__
    }
    for kind in modules:
        module = importlib.import_module(f"keras_prune.tfmot.{kind}.keras")
        assert module is getattr(tfmot, kind).keras
        assert all(hasattr(module, name) for name in module.__all__)


@pytest.mark.parametrize(
    ("module", "name", "instead"),
    [
        (quantization, "quantize_model", r"tflite_export\.export"),
        (quantization, "quantize_annotate_layer", r"tflite_export\.export"),
        (quantization, "QuantizeConfig", r"tflite_export\.export"),
        (clustering, "ClusteringSummaries", r"keras_prune\.summary"),
        (clustering, "clusterable_layer", "ClusterableLayer"),
        (tfmot, "experimental", "preserve_sparsity"),
    ],
)
def test_names_that_do_not_exist_say_what_to_use(module, name, instead):
    with pytest.raises(AttributeError, match=rf"`{name}` does not exist.*{instead}.*Received: keras_prune\.tfmot"):
        getattr(module, name)
    assert not hasattr(module, name)
    with pytest.raises(ImportError):
        exec(f"from {module.__name__} import {name}")


@pytest.mark.parametrize("module", [tfmot, sparsity, clustering, quantization, clustering.experimental])
def test_other_names_are_missing_as_in_any_module(module):
    with pytest.raises(AttributeError):
        module.__nothing__  # noqa: B018
    with pytest.raises(AttributeError):
        sparsity.prune_high_magnitude  # noqa: B018


def test_a_model_is_clustered_and_trained(model):
    before = model.get_weights()
    clustered = clustering.cluster_weights(model, number_of_clusters=3, cluster_centroids_init=Init.KMEANS_PLUS_PLUS)
    clustered.compile("sgd", keras.losses.MeanSquaredError())
    x, y = np.ones((16, 8), "float32"), np.ones((16, 2), "float32")
    clustered.fit(x, y, epochs=2, verbose=0)
    assert max(values(clustered)) <= 3
    assert all(map(np.array_equal, before, model.get_weights()))
    np.testing.assert_allclose(
        clustering.strip_clustering(clustered).predict(x, verbose=0), clustered.predict(x, verbose=0)
    )


def test_layers_are_clustered_built_or_with_a_shape(model):
    def only_dense(layer):
        return clustering.cluster_weights(layer, 2, Init.LINEAR) if layer.name == "first" else layer

    assert values(keras.models.clone_model(model, clone_function=only_dense)) == [2, 16]
    by_shape = clustering.cluster_weights(layers.Dense(6), 2, input_shape=(8,))
    assert values(keras.Sequential([keras.Input((8,)), by_shape])) == [2]
    several = clustering.cluster_weights([model.layers[0], layers.Dropout(0.1), model.layers[1]], 2)
    assert type(several[1]) is layers.Dropout
    assert values(keras.Sequential([keras.Input((8,)), *several])) == [2, 2]


@pytest.mark.filterwarnings("ignore:Do not pass an `input_shape`")
def test_a_custom_layer_names_what_is_clustered():
    class Own(layers.Dense, clustering.ClusterableLayer):
        def get_clusterable_weights(self):
            return [("kernel", self.kernel), ("bias", self.bias)]

    model = keras.Sequential(
        [clustering.cluster_weights(Own(20, input_shape=(8,), bias_initializer="random_normal"), 3), layers.Flatten()]
    )
    kernel, bias = clustering.strip_clustering(model).get_weights()
    assert (len(np.unique(kernel)), len(np.unique(bias))) == (3, 3)
    with pytest.raises(NotImplementedError, match="get_clusterable_weights"):
        clustering.ClusterableLayer().get_prunable_weights()


def test_zeros_are_preserved_when_asked(model):
    pruned = sparsity.prune_low_magnitude(model, sparsity.ConstantSparsity(0.5, 0))
    fit(pruned, (np.ones((16, 8), "float32"), np.ones((16, 2), "float32")), steps=1)
    clustered = clustering.experimental.cluster_weights(pruned, 3, preserve_sparsity=True)
    assert zeros(clustered) == {"first/kernel": 0.5, "second/kernel": 0.5}
    plain = clustering.strip_clustering(clustered)
    assert [np.mean(layer.get_weights()[0] == 0) for layer in plain.layers] == [0.5, 0.5]
    with pytest.raises(ValueError, match="cluster_per_channel=True"):
        clustering.experimental.cluster_weights(model, 3, cluster_per_channel=True)


def test_clustered_models_are_saved(model, tmp_path):
    clustered = clustering.cluster_weights(model, 3, Init.DENSITY_BASED)
    for name in ("model.keras", "model.h5"):
        clustered.save(tmp_path / name)
        with clustering.cluster_scope():
            loaded = keras.saving.load_model(tmp_path / name)
        assert values(loaded) == values(clustered) == [3, 3]


@pytest.mark.parametrize(
    ("wrong", "settings", "message"),
    [
        (3, {}, "takes a model"),
        ([3], {}, "takes a model"),
        (layers.Dense(3), {}, "no weights to cluster yet"),
        (keras.Sequential([layers.Dense(3)]), {}, "no weights to cluster yet"),
        (None, {"number_of_clusters": 1}, "`number_of_clusters` must be"),
        (None, {"cluster_centroids_init": "far"}, "CentroidInitialization"),
    ],
)
def test_what_cannot_be_clustered_is_refused(model, wrong, settings, message):
    with pytest.raises(ValueError, match=message):
        clustering.cluster_weights(model if wrong is None else wrong, **{"number_of_clusters": 3} | settings)
    with pytest.raises(TypeError, match="input_shapes"):
        clustering.cluster_weights(model, 3, input_shapes=(3,))
    assert kp.summary(model)
