"""What a newcomer writes after tfmot's two long guides, part by part: only the imports are changed."""

import os
import zipfile

import keras
import numpy as np
import pytest
from support.zoo import BACKEND

from keras_prune import tfmot  # before: import tensorflow_model_optimization as tfmot

pytestmark = [
    pytest.mark.skipif(BACKEND != "tensorflow", reason="tfmot has no other backend"),
    pytest.mark.filterwarnings("ignore:Do not pass an `input_shape`"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
]
sparsity, clustering = tfmot.sparsity.keras, tfmot.clustering.keras

X = np.random.default_rng(0).normal(size=(1, 20)).astype("float32")
Y = keras.utils.to_categorical([3], num_classes=20)
THREE = {
    "number_of_clusters": 3,
    "cluster_centroids_init": clustering.CentroidInitialization.KMEANS_PLUS_PLUS,
}


def set_up():
    return keras.Sequential([keras.layers.Dense(20, input_shape=[20]), keras.layers.Flatten()])


def compiled(model):
    model.compile(loss=keras.losses.categorical_crossentropy, optimizer="adam", metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A function that makes the model with weights from a file."""
    file = str(tmp_path_factory.mktemp("weights") / "pretrained.weights.h5")  # the one name that Keras 3 insists on
    model = compiled(set_up())
    model.fit(X, Y, verbose=0)
    model.save_weights(file)

    def load():
        base = set_up()
        base.load_weights(file)
        return base

    return load


def zipped(model, folder):
    model.save(folder / "model.h5", include_optimizer=False)
    with zipfile.ZipFile(folder / "model.zip", "w", compression=zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "model.h5")
    return os.path.getsize(folder / "model.zip")


def zeros_of(model):
    plain = sparsity.strip_pruning(model)
    return [float(np.mean(layer.get_weights()[0] == 0)) for layer in plain.layers if layer.weights]


def prune_some(layer):
    return sparsity.prune_low_magnitude(layer) if isinstance(layer, keras.layers.Dense) else layer


def cluster_some(layer):
    return clustering.cluster_weights(layer, **THREE) if isinstance(layer, keras.layers.Dense) else layer


class PrunedBias(keras.layers.Dense, sparsity.PrunableLayer):
    def get_prunable_weights(self):
        return [self.kernel, self.bias]


class ClusteredBias(keras.layers.Dense, clustering.ClusterableLayer):
    def get_clusterable_weights(self):
        return [("kernel", self.kernel), ("bias", self.bias)]


def functional():
    inputs = keras.Input(shape=(20,))
    hidden = sparsity.prune_low_magnitude(keras.layers.Dense(20))(inputs)
    return keras.Model(inputs=inputs, outputs=keras.layers.Flatten()(hidden))


def sequential(layer):
    return keras.Sequential([layer, keras.layers.Flatten()])


MODELS = {
    "whole": lambda load: sparsity.prune_low_magnitude(load()),
    "some layers": lambda load: keras.models.clone_model(load(), clone_function=prune_some),
    "functional": lambda load: functional(),
    "sequential": lambda load: sequential(sparsity.prune_low_magnitude(keras.layers.Dense(20, input_shape=[20]))),
    "custom": lambda load: sequential(sparsity.prune_low_magnitude(PrunedBias(20, input_shape=[20]))),
    "blocks": lambda load: sparsity.prune_low_magnitude(set_up(), block_size=[1, 20]),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_are_made_printed_and_trained(name, pretrained, tmp_path, capsys):
    model = MODELS[name](pretrained)
    model.summary()
    assert "Total params" in capsys.readouterr().out
    callbacks = [sparsity.UpdatePruningStep(), sparsity.PruningSummaries(log_dir=str(tmp_path))]
    compiled(model).fit(X, Y, callbacks=callbacks, epochs=2, verbose=0)
    assert zeros_of(model) == [0.5]
    assert os.listdir(tmp_path)


def test_a_custom_training_loop(pretrained, tmp_path):
    import tensorflow as tf

    model = sparsity.prune_low_magnitude(pretrained())
    loss, optimizer = keras.losses.categorical_crossentropy, keras.optimizers.Adam()
    model.optimizer = optimizer
    step, log = sparsity.UpdatePruningStep(), sparsity.PruningSummaries(log_dir=str(tmp_path))
    step.set_model(model)
    log.set_model(model)
    step.on_train_begin()
    for _ in range(2):
        log.on_epoch_begin(epoch=-1)
        for _ in range(1):
            step.on_train_batch_begin(batch=-1)
            with tf.GradientTape() as tape:
                value = loss(Y, model(X, training=True))
            gradients = tape.gradient(value, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        step.on_epoch_end(batch=-1)
    assert zeros_of(model) == [0.5]


def test_files_are_loaded_in_the_scope_and_smaller_when_stripped(pretrained, tmp_path):
    model = sparsity.prune_low_magnitude(pretrained())
    model.save(tmp_path / "checkpoint.h5", include_optimizer=True)
    with sparsity.prune_scope():
        loaded = keras.models.load_model(tmp_path / "checkpoint.h5")
    loaded.summary()
    compiled(loaded).fit(X, Y, callbacks=[sparsity.UpdatePruningStep()], verbose=0)
    assert zeros_of(loaded) == [0.5]
    assert zipped(sparsity.strip_pruning(loaded), tmp_path) < zipped(loaded, tmp_path)


CLUSTERED = {
    "whole": lambda load: clustering.cluster_weights(load(), **THREE),
    "some layers": lambda load: keras.models.clone_model(load(), clone_function=cluster_some),
    "custom": lambda load: sequential(clustering.cluster_weights(ClusteredBias(20, input_shape=[20]), **THREE)),
}


@pytest.mark.parametrize("name", CLUSTERED)
def test_clustered_models_are_made_trained_saved_and_stripped(name, pretrained, tmp_path):
    model = CLUSTERED[name](pretrained)
    model.summary()
    compiled(model).fit(X, Y, verbose=0)
    model.save(tmp_path / "clustered.h5", include_optimizer=False)
    with clustering.cluster_scope():
        loaded = keras.models.load_model(tmp_path / "clustered.h5", custom_objects={"ClusteredBias": ClusteredBias})
    for each in (model, loaded):
        final = clustering.strip_clustering(each)
        assert len(np.unique(final.layers[0].get_weights()[0])) <= 3
    assert zipped(final, tmp_path) < zipped(model, tmp_path)
