"""Files as Keras 2 and tfmot write them, made by hand: configurations, and weights by their names."""

import json

import h5py
import numpy as np

RNG = np.random.default_rng(0)


def array(*shape):
    return RNG.normal(size=shape).astype("float32")


def layer(class_name, name, inbound=None, **config):
    """The configuration of a layer; `inbound` are names, or `(name, node)`, of the layers that it reads."""
    entry = {"class_name": class_name, "config": {"name": name, "trainable": True, "dtype": "float32", **config}}
    if inbound is None:
        return entry
    references = [[*(each if isinstance(each, tuple) else (each, 0)), 0, {}] for each in inbound]
    return entry | {"name": name, "inbound_nodes": [references] if references else []}


def given(name, *shape):
    return layer("InputLayer", name, [], batch_input_shape=[None, *shape], sparse=False, ragged=False)


def functional(*entries, name="model"):
    first, last = entries[0]["name"], entries[-1]["name"]
    config = {"name": name, "layers": list(entries)}
    node = int(entries[-1]["class_name"] == "Sequential")
    return {
        "class_name": "Functional",
        "config": config | {"input_layers": [[first, 0, 0]], "output_layers": [[last, node, 0]]},
    }


def sequential(*entries, name="sequential"):
    return {"class_name": "Sequential", "config": {"name": name, "layers": list(entries)}}


def wrapped(entry, schedule=("ConstantSparsity", {"target_sparsity": 0.5, "begin_step": 0}), **settings):
    """A layer in tfmot's wrapper."""
    inner = {key: entry[key] for key in ("class_name", "config")}
    name = f"prune_low_magnitude_{entry['config']['name']}"
    config = {"name": name, "trainable": True, "dtype": "float32", "layer": inner}
    config["pruning_schedule"] = {"class_name": schedule[0], "config": schedule[1]}
    config |= {"block_size": [1, 1], "block_pooling_type": "AVG"} | settings
    outer = {"class_name": "PruneLowMagnitude", "config": config}
    if "name" not in entry:
        return outer
    return outer | {"name": name, "inbound_nodes": entry["inbound_nodes"]}


def state(name, masks):
    """What tfmot's wrapper stores of a layer, besides its weights."""
    found = {}
    for index, mask in enumerate(masks):
        end = f"_{index}" if index else ""
        found |= {f"{name}/mask{end}:0": mask.astype("float32"), f"{name}/threshold{end}:0": np.float32(0.1)}
    return found | {f"{name}/pruning_step:0": np.int64(7)}


def write(path, config, weights, split=None):
    """Writes a file as Keras 2 does. `weights`: for each layer, its arrays by name."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = b"2.11.0"
        file.attrs["backend"] = b"tensorflow"
        file.attrs["model_config"] = json.dumps(config)
        group = file.create_group("model_weights")
        group.attrs["keras_version"] = b"2.11.0"
        group.attrs["backend"] = b"tensorflow"
        group.attrs["layer_names"] = [name.encode() for name in weights]
        for name, arrays in weights.items():
            inner = group.create_group(name)
            names = np.array([each.encode() for each in arrays] or np.zeros(0, "S1"))
            if split is None:
                inner.attrs["weight_names"] = names
            else:
                for index, start in enumerate(range(0, len(names), split)):
                    inner.attrs[f"weight_names{index}"] = names[start : start + split]
            for each, values in arrays.items():
                inner.create_dataset(each, data=values)
    return path


def dense(name, inputs, outputs):
    return {f"{name}/kernel:0": array(inputs, outputs), f"{name}/bias:0": array(outputs)}


def pruned_model(tmp_path, **kwargs):
    """A convolution, a nested model with two layers, and layers without weights, all wrapped as tfmot does."""
    decay = ("PolynomialDecay", {"initial_sparsity": 0.1, "final_sparsity": 0.5, "begin_step": 2, "end_step": 20})
    conv = wrapped(layer("Conv2D", "conv", ["x"], filters=4, kernel_size=[1, 1]), decay)
    bn = wrapped(layer("BatchNormalization", "bn", ["prune_low_magnitude_conv"], axis=[3]))
    pool = wrapped(layer("GlobalAveragePooling2D", "pool", ["prune_low_magnitude_bn"]))
    inner = sequential(
        layer("InputLayer", "inner_input", batch_input_shape=[None, 4]),
        wrapped(layer("Dense", "one", units=4), block_size=[2, 2], block_pooling_type="MAX"),
        wrapped(layer("Dense", "two", units=2)),
        name="inner",
    )
    nested = {**inner, "name": "inner", "inbound_nodes": [[["prune_low_magnitude_pool", 0, 0, {}]]]}
    config = functional(given("x", 3, 3, 2), conv, bn, pool, nested)
    masks = {
        name: RNG.random(shape) < 0.5 for name, shape in (("conv", (1, 1, 2, 4)), ("one", (4, 4)), ("two", (4, 2)))
    }
    names = {name: f"prune_low_magnitude_{name}" for name in ("conv", "bn", "pool", "one", "two")}
    normal = {f"bn/{each}:0": np.abs(array(4)) + 1 for each in ("gamma", "beta", "moving_mean", "moving_variance")}
    weights = {
        "x": {},
        names["conv"]: {
            "conv/kernel:0": array(1, 1, 2, 4),
            "conv/bias:0": array(4),
            **state(names["conv"], [masks["conv"]]),
        },
        names["bn"]: normal | state(names["bn"], []),
        names["pool"]: state(names["pool"], []),
        "inner": {
            **dense("one", 4, 4),
            **dense("two", 4, 2),
            **state(names["one"], [masks["one"]]),
            **state(names["two"], [masks["two"]]),
        },
    }
    return write(tmp_path / "pruned.h5", config, weights, **kwargs), weights, masks
