"""What tfmot does, for tests/tfmot/test_tfmot_parity.py: run by the Python of an environment that has it (Keras 2).

Usage: tfmot_peer.py INPUTS.npz FOLDER. Writes schedules, masks, model files with their predictions, and what tfmot
gives for tests/support/tfmot_behaviours*.py.
"""

import json
import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
import support.tfmot_behaviours
import support.tfmot_behaviours_policies
import support.tfmot_behaviours_training  # noqa: F401
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from support.tfmot_sides import Side, results
from tensorflow_model_optimization.sparsity import keras as sparsity

layers = keras.layers


def schedules(inputs):
    found = {}
    for index, (initial, final, begin, end, power, frequency) in enumerate(inputs["decays"]):
        schedule = sparsity.PolynomialDecay(initial, final, int(begin), int(end), float(power), int(frequency))
        found[f"decay{index}"] = [[float(part) for part in schedule(int(step))] for step in inputs["steps"]]
    constant = sparsity.ConstantSparsity(0.4, 10, 90, 20)
    found["constant"] = [[float(part) for part in constant(int(step))] for step in inputs["steps"]]
    return found


def mask(layer, weights, x, **settings):
    """The mask that one layer with these weights gets in a step that changes no weight."""
    wrapped = sparsity.prune_low_magnitude(layer, **settings)
    model = keras.Sequential([layers.Input(x.shape[1:]), wrapped])
    wrapped.layer.set_weights([weights, np.zeros(weights.shape[-1])])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    y = np.zeros((len(x), *model.output_shape[1:]))
    model.fit(x, y, epochs=2, batch_size=len(x), verbose=0, callbacks=[sparsity.UpdatePruningStep()])
    return wrapped.pruning_vars[0][1].numpy()


def masks(inputs):
    found = {}
    for target in inputs["targets"]:
        constant = sparsity.ConstantSparsity(float(target), 0, frequency=1)
        dense, conv = layers.Dense(inputs["dense"].shape[1]), layers.Conv2D(inputs["conv"].shape[-1], 3)
        found[f"dense{target}"] = mask(dense, inputs["dense"], inputs["x_dense"], pruning_schedule=constant)
        found[f"conv{target}"] = mask(conv, inputs["conv"], inputs["x_conv"], pruning_schedule=constant)
    half = sparsity.ConstantSparsity(0.5, 0, frequency=1)
    for name, settings in {
        "avg": {"block_size": (2, 4)},
        "max": {"block_size": (4, 1), "block_pooling_type": "MAX"},
        "m_by_n": {"sparsity_m_by_n": (2, 4)},
    }.items():
        dense = layers.Dense(inputs["dense"].shape[1])
        found[name] = mask(dense, inputs["dense"], inputs["x_dense"], pruning_schedule=half, **settings)
    conv = layers.Conv2D(inputs["conv"].shape[-1], 3)
    found["conv_m_by_n"] = mask(conv, inputs["conv"], inputs["x_conv"], pruning_schedule=half, sparsity_m_by_n=(2, 4))
    return found


def models():
    """Models with what makes Keras 3 refuse a file, and the shape of their inputs."""
    image = keras.Input((16, 16, 3))
    x = layers.DepthwiseConv2D(3, name="a/dw")(image)
    x = layers.SeparableConv2D(4, 3)(layers.LeakyReLU(0.1)(x))
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(layers.Reshape((-1, 4))(x))
    x = layers.GRU(3)(layers.TimeDistributed(layers.Dense(4))(x))
    yield "mixed", keras.Model(image, layers.Dense(2, name="out/x")(layers.Dropout(0.1)(x)))
    yield "recurrent", keras.Sequential([layers.LSTM(4, input_shape=(5, 3)), layers.Dense(2)])
    inner = keras.Sequential([layers.Input((6,)), layers.Dense(8, name="one"), layers.Dense(6, name="two")])
    x = layers.BatchNormalization()(layers.Conv2D(6, 3, name="conv")(image))
    x = inner(inner(layers.GlobalAveragePooling2D()(layers.ReLU()(x))))
    yield "pruned", keras.Model(image, layers.Add()([x, x]))


def main(path, folder):
    inputs = np.load(path)
    np.savez(f"{folder}/found.npz", **schedules(inputs), **masks(inputs))
    rng = np.random.default_rng(1)
    for name, model in models():
        x = rng.normal(size=(4, *model.input_shape[1:])).astype("float32")
        if name == "pruned":
            decay = sparsity.PolynomialDecay(0.2, 0.7, 0, 4, frequency=1)
            model = sparsity.prune_low_magnitude(model, decay)
            model.compile("adam", "mse")
            callbacks = [sparsity.UpdatePruningStep()]
            model.fit(x, rng.normal(size=(4, 6)), epochs=6, verbose=0, callbacks=callbacks)
        model.save(f"{folder}/{name}.h5")
        np.savez(f"{folder}/{name}.npz", x=x, y=model.predict(x, verbose=0))
    os.mkdir(f"{folder}/behaviours")
    with open(f"{folder}/behaviours.json", "w") as file:
        json.dump(results(Side(keras, tfmot, f"{folder}/behaviours")), file)


if __name__ == "__main__":
    main(*sys.argv[1:])
