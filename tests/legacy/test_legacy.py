"""`load_legacy`: files as Keras 2 and tfmot write them, made here by hand. test_tfmot_parity.py has real ones."""

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from support.legacy_files import (
    RNG,
    array,
    dense,
    functional,
    given,
    layer,
    pruned_model,
    sequential,
    state,
    wrapped,
    write,
)

import keras_prune as kp
import keras_prune.tfmot as sparsity
from keras_prune.masking.masked_weights import find_masked

# Models of Keras 2.


@pytest.mark.core
def test_depthwise_slashes_and_axes_in_a_functional_model(tmp_path):
    kernel, pointwise = array(3, 3, 2, 1), array(1, 1, 2, 3)
    gamma, beta, mean, variance = array(3), array(3), array(3), np.abs(array(3)) + 1
    config = functional(
        given("in/put", 6, 6, 2),
        layer("DepthwiseConv2D", "block/dw", ["in/put"], kernel_size=[3, 3], groups=1, use_bias=False),
        layer("Conv2D", "block_dw", ["block/dw"], filters=3, kernel_size=[1, 1], use_bias=False),
        layer("BatchNormalization", "bn", ["block_dw"], axis=[3], fused=True, epsilon=0.001),
        layer("LeakyReLU", "leaky", ["bn"], alpha=0.25),
    )
    weights = {
        "in/put": {},
        "block/dw": {"block/dw/depthwise_kernel:0": kernel},
        "block_dw": {"block_dw/kernel:0": pointwise},
        "bn": dict(zip(("bn/gamma:0", "bn/beta:0", "bn/m:0", "bn/v:0"), (gamma, beta, mean, variance), strict=True)),
        "leaky": {},
    }
    model = kp.load_legacy(write(tmp_path / "model.h5", config, weights))
    assert [each.name for each in model.layers] == ["in_put", "block_dw_", "block_dw", "bn", "leaky"]
    x = array(2, 6, 6, 2)
    patches = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))  # batch, height, width, channel, 3, 3
    y = np.einsum("bhwcij,ijc->bhwc", patches, kernel[..., 0]) @ pointwise[0, 0]
    y = (y - mean) / np.sqrt(variance + 0.001) * gamma + beta
    np.testing.assert_allclose(model.predict(x, verbose=0), np.where(y > 0, y, 0.25 * y), rtol=1e-4, atol=1e-5)
    assert not model.compiled


@pytest.mark.core
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrent_layers_lose_time_major(tmp_path, kind, bidirectional):
    gates = {"LSTM": 4, "GRU": 3}[kind]
    cell = layer(kind, "rnn", units=2, time_major=False, implementation=2)
    entry = layer("Bidirectional", "both", layer=cell, merge_mode="concat") if bidirectional else cell
    entry["config"]["batch_input_shape"] = [None, 5, 3]
    weights = {}
    for way in range(1 + bidirectional):
        bias = array(2, 6) if kind == "GRU" else array(8)
        values = array(3, 2 * gates), array(2, 2 * gates), bias
        weights |= {f"{way}/{part}:0": value for part, value in zip("kru", values, strict=True)}
    model = kp.load_legacy(write(tmp_path / "model.h5", sequential(entry), {"rnn": weights}))
    plain = getattr(layers, kind)(2)
    same = keras.Sequential([keras.Input((5, 3)), layers.Bidirectional(plain) if bidirectional else plain])
    same.set_weights(list(weights.values()))
    x = array(2, 5, 3)
    np.testing.assert_allclose(model.predict(x, verbose=0), same.predict(x, verbose=0), atol=1e-6)


def test_layers_in_time_distributed_and_rnn(tmp_path):
    inner = layer("DepthwiseConv2D", "dw", kernel_size=[3, 3], groups=1)
    cell = layer("SimpleRNNCell", "cell", units=2)
    config = sequential(
        layer("TimeDistributed", "td", layer=inner, batch_input_shape=[None, 4, 3, 3, 2]),
        layer("Reshape", "reshape", target_shape=[4, 2]),
        layer("RNN", "rnn", cell=cell, time_major=False),
    )
    arrays = [array(3, 3, 2, 1), array(2), array(2, 2), array(2, 2), array(2)]
    weights = {
        "td": {"td/depthwise_kernel:0": arrays[0], "td/bias:0": arrays[1]},
        "reshape": {},
        "rnn": {f"rnn/{index}:0": value for index, value in enumerate(arrays[2:])},
    }
    model = kp.load_legacy(write(tmp_path / "model.h5", config, weights))
    for loaded, value in zip(model.get_weights(), arrays, strict=True):
        np.testing.assert_array_equal(loaded, value)


@pytest.mark.parametrize("calls", [1, 2])
def test_nested_sequential_models_are_counted_from_one(tmp_path, calls):
    first = layer("Dense", "deep", units=3)
    first["config"]["batch_input_shape"] = [None, 3]
    inner = sequential(first, name="inner")
    nested = {**inner, "name": "inner", "inbound_nodes": [[["x", 0, 0, {}]], [["inner", 1, 0, {}]]][:calls]}
    config = functional(given("x", 3), nested, layer("ReLU", "relu", [("inner", calls)]))
    weights = {"x": {}, "inner": dense("deep", 3, 3), "relu": {}}
    model = kp.load_legacy(write(tmp_path / "model.h5", config, weights))
    x = array(2, 3)
    y = x
    for _ in range(calls):
        y = y @ weights["inner"]["deep/kernel:0"] + weights["inner"]["deep/bias:0"]
    np.testing.assert_allclose(model.predict(x, verbose=0), np.maximum(y, 0), atol=1e-5)


@pytest.mark.parametrize("policy", ["Policy", "PolicyV1"])
def test_policies_and_old_sequential_lists(tmp_path, policy):
    first = layer("Dense", "first", units=2, batch_input_shape=[None, 3])
    first["config"]["dtype"] = {"class_name": policy, "config": {"name": "mixed_float16"}}
    config = {"class_name": "Sequential", "config": [first]}
    model = kp.load_legacy(write(tmp_path / "model.h5", config, {"first": dense("first", 3, 2)}))
    assert model.layers[-1].dtype_policy.name == "mixed_float16"
    assert model.input_shape == (None, 3)


def test_embedding_with_input_length(tmp_path):
    config = sequential(
        layer("Embedding", "words", input_dim=7, output_dim=2, input_length=4, batch_input_shape=[None, 4])
    )
    table = array(7, 2)
    model = kp.load_legacy(write(tmp_path / "model.h5", config, {"words": {"words/embeddings:0": table}}))
    np.testing.assert_array_equal(model.predict(np.array([[1, 2, 3, 6]]), verbose=0)[0], table[[1, 2, 3, 6]])


class Doubled(layers.Layer):
    def call(self, x):
        return 2 * x


@pytest.mark.parametrize("class_name", ["Doubled", "Custom>Doubled", "Addons>Doubled"])
def test_classes_of_users(tmp_path, class_name):
    config = functional(given("x", 3), layer(class_name, "twice", ["x"]))
    path = write(tmp_path / "model.h5", config, {"x": {}, "twice": {}})
    with pytest.raises(ValueError, match=r"layer 'twice' is of a class .*custom_objects=\{'Doubled'"):
        kp.load_legacy(path)
    model = kp.load_legacy(path, custom_objects={"Doubled": Doubled})
    np.testing.assert_array_equal(model.predict(np.ones((1, 3)), verbose=0), np.full((1, 3), 2))


# Models of tfmot.


@pytest.mark.core
@pytest.mark.parametrize("split", [None, 3])
def test_masks_and_schedules_of_tfmot_are_kept(tmp_path, split):
    path, weights, masks = pruned_model(tmp_path, split=split)
    model = kp.load_legacy(path)
    assert isinstance(model, kp.masking.PrunedModel)
    assert [each.name for each in model.layers] == ["x", "conv", "bn", "pool", "inner"]
    found = {weight.path: weight for weight in find_masked(model)}
    assert set(found) == {"conv/kernel", "inner/one/kernel", "inner/two/kernel"}
    groups = {"conv": "prune_low_magnitude_conv", "one": "inner", "two": "inner"}
    for weight in found.values():
        name = weight.layer.rsplit("/", 1)[-1]
        np.testing.assert_array_equal(weight.kept(), masks[name])
        dense_values = weights[groups[name]][f"{name}/kernel:0"]
        values = keras.ops.convert_to_numpy(weight.weight)
        np.testing.assert_array_equal(values, np.where(masks[name], dense_values, 0))
    decay = model.get_layer("conv").pruning_schedule
    assert (decay.initial_sparsity, decay.final_sparsity, decay.begin_step, decay.end_step) == (0.1, 0.5, 2, 20)
    one, two = model.get_layer("inner").layers
    assert (one.block_size, one.block_pooling_type) == ((2, 2), "MAX")
    assert two.pruning_schedule.target_sparsity == 0.5
    plain = kp.strip_pruning(model)
    assert type(plain.get_layer("conv")) is layers.Conv2D
    np.testing.assert_array_equal(
        plain.get_layer("bn").get_weights()[3], weights["prune_low_magnitude_bn"]["bn/moving_variance:0"]
    )


def test_a_loaded_model_is_pruned_on(tmp_path):
    model = kp.load_legacy(pruned_model(tmp_path)[0])
    model.compile("sgd", keras.losses.MeanSquaredError())
    before = {weight.path: weight.kept() for weight in find_masked(model)}
    model.fit(
        array(40, 3, 3, 2), array(40, 2), batch_size=2, epochs=1, callbacks=[sparsity.UpdatePruningStep()], verbose=0
    )
    for weight in find_masked(model):
        assert not np.any(weight.kept() & ~before[weight.path])
        assert np.mean(weight.kept()) <= 0.5
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.get_layer("conv").pruning_schedule.end_step == 20


def test_several_masks_of_one_layer(tmp_path):
    entry = layer("LSTM", "rnn", units=2, time_major=False)
    pruned = wrapped(entry, batch_input_shape=[None, 5, 3])
    masks = [RNG.random((3, 8)) < 0.5, RNG.random((2, 8)) < 0.5]
    arrays = {"rnn/kernel:0": array(3, 8), "rnn/recurrent_kernel:0": array(2, 8), "rnn/bias:0": array(8)}
    name = "prune_low_magnitude_rnn"
    model = kp.load_legacy(write(tmp_path / "m.h5", sequential(pruned), {name: arrays | state(name, masks)}))
    found = find_masked(model)
    assert len(found) == 2
    for weight, mask in zip(found, masks, strict=True):
        np.testing.assert_array_equal(weight.kept(), mask)


class Own(sparsity.PruningSchedule):
    def __call__(self, step):
        return True, 0.5

    def get_config(self):
        return {}


def test_schedules_of_users_are_custom_objects(tmp_path):
    pruned = wrapped(layer("Dense", "one", units=2), ("Own", {}), batch_input_shape=[None, 3])
    name = "prune_low_magnitude_one"
    weights = {name: dense("one", 3, 2) | state(name, [np.ones((3, 2))])}
    path = write(tmp_path / "model.h5", sequential(pruned), weights)
    with pytest.raises(ValueError, match="pruning schedule of class 'Own' is unknown"):
        kp.load_legacy(path)
    assert isinstance(kp.load_legacy(path, {"Own": Own}).layers[0].pruning_schedule, Own)


# What cannot be loaded.


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (layer("LSTM", "rnn", ["x"], units=2, time_major=True), "'rnn' uses an argument.*time_major=True"),
        (layer("DepthwiseConv2D", "dw", ["x"], kernel_size=[3, 3], groups=2), "'dw' uses.*groups=2"),
        (
            layer("TFOpLambda", "tf.math.add", ["x"], function="math.add"),
            r"'tf.math.add' is the Tensor.*'math.add'",
        ),
        (layer("SlicingOpLambda", "cut", ["x"], function="_getitem"), "'cut' is the TensorFlow operation '_getitem'"),
        (
            layer("Lambda", "code", ["x"], function=["4w", None, None], function_type="lambda"),
            "'code' holds Python",
        ),
        (
            layer("TimeDistributed", "td", ["x"], layer=layer("Lambda", "f", function=["4w", None, None])),
            "'td/f' holds Python code",
        ),
        (layer("WeirdLayer", "odd", ["x"]), r"'odd' is of a class that Keras 3 does not have.*'WeirdLayer'"),
        (layer("Dense", "bad", ["x"], units=-3), "'bad' of class Dense cannot be made"),
        (layer("Dense", "act", ["x"], units=3, activation="nonsense"), "'act' of class Dense cannot be made"),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_what_cannot_be_loaded_is_named(tmp_path, entry, message):
    path = write(tmp_path / "model.h5", functional(given("x", 4, 4), entry), {"x": {}, entry["name"]: {}})
    content = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        kp.load_legacy(path)
    assert path.read_bytes() == content


def one_dense(path, **changes):
    weights = {"one": dense("one", 3, 2) | changes}
    return write(path, sequential(layer("Dense", "one", units=2, batch_input_shape=[None, 3])), weights)


def test_files_that_hold_no_model(tmp_path):
    path = tmp_path / "model.h5"
    with pytest.raises(FileNotFoundError, match="Received"):
        kp.load_legacy(path)
    path.write_bytes(b"no HDF5 at all" * 100)
    with pytest.raises(ValueError, match="no HDF5 file"):
        kp.load_legacy(path)
    one_dense(path)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ValueError, match="no HDF5 file, or a damaged one"):
        kp.load_legacy(path)
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    model.save_weights(tmp_path / "new.weights.h5")
    with pytest.raises(ValueError, match="holds no model"):
        kp.load_legacy(tmp_path / "new.weights.h5")
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"one"]
    with pytest.raises(ValueError, match="weights only"):
        kp.load_legacy(path)


@pytest.mark.parametrize(
    "config", ["{", "[]", "{}", '{"class_name": "Sequential"}', '{"class_name": "X", "config": {}}']
)
def test_damaged_configurations(tmp_path, config):
    path = one_dense(tmp_path / "model.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = config
    with pytest.raises(ValueError, match=r"Received: path="):
        kp.load_legacy(path)


def test_weights_that_do_not_fit(tmp_path):
    with pytest.raises(ValueError, match=r"Keras cannot load the model: .*hape"):
        kp.load_legacy(one_dense(tmp_path / "a.h5", **{"one/kernel:0": array(4, 2)}))
    path, *_ = pruned_model(tmp_path)
    with h5py.File(path, "r+") as file:
        group = file["model_weights/prune_low_magnitude_conv"]
        del group["prune_low_magnitude_conv/mask:0"]
        group.create_dataset("prune_low_magnitude_conv/mask:0", data=np.ones((3, 3)))
    with pytest.raises(ValueError, match="mask of 'conv/kernel'"):
        kp.load_legacy(path)
    with h5py.File(path, "r+") as file:
        del file["model_weights"]
    with pytest.raises(ValueError, match="without weights"):
        kp.load_legacy(path)


@pytest.mark.parametrize("name", ["mask:0", "threshold:0"])
def test_masks_do_not_come_from_other_files(tmp_path, name):
    path, *_ = pruned_model(tmp_path)
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.ones((1, 1, 2, 4), "float32")
    with h5py.File(path, "r+") as file:
        group = file["model_weights/prune_low_magnitude_conv/prune_low_magnitude_conv"]
        del group[name]
        group[name] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "x")
    with pytest.raises(ValueError, match=rf"{name}' is a link, perhaps into another file, .*Received: path="):
        kp.load_legacy(path)  # though the threshold is never read
