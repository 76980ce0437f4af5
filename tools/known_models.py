"""Writes docs/known-models.md: which models, architectures and layers can be pruned. Everything in it is tried.

`make known-models` runs it. The table of layers comes from the models of the tests, which use every layer of Keras; the
architectures from docs/applications.md, which `make proof` writes; the kinds of models are pruned here. The rows of
keras_hub need `pip install keras-hub`, and stay as they are without it.
"""

import collections
import importlib.util
import pathlib
import re
import sys

import keras
import numpy as np
from keras import layers, ops

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support import channel_stays, channel_zoo, channel_zoo_layers, channel_zoo_ops  # noqa: E402  # of the tests

import keras_prune as kp  # noqa: E402
from keras_prune import _keras  # noqa: E402
from keras_prune.tracing.kept_channels import Kept  # noqa: E402
from keras_prune.tracing.labels import collapse  # noqa: E402

PAGE = ROOT / "docs" / "known-models.md"
APPLICATIONS = ROOT / "docs" / "applications.md"
ZOO = [
    *channel_zoo.EXACT,
    *channel_zoo_layers.CORE,
    *channel_zoo_ops.CORE,
    *channel_zoo_layers.MORE,
    *channel_zoo_ops.MORE,
]
FAMILIES = {  # the beginnings of names, longer ones first
    "ConvNeXt": "ConvNeXt",
    "DenseNet": "DenseNet",
    "EfficientNetV2": "EfficientNetV2",
    "EfficientNetB": "EfficientNet",
    "InceptionResNetV2": "InceptionResNetV2",
    "InceptionV3": "InceptionV3",
    "MobileNetV3": "MobileNetV3",
    "MobileNetV2": "MobileNetV2",
    "MobileNet": "MobileNet",
    "NASNet": "NASNet",
    "ResNet": "ResNet, ResNetV2",
    "VGG": "VGG",
    "Xception": "Xception",
}
HEAD = """# Does it know my model?

`make known-models` writes this page from real runs: nothing in it is claimed that was not tried.
`kp.analyze_channels(model)` says the same of your own model, without changing it: every group of channels that can be
removed, and for each that is kept, the reason.

"""


# Layers.


def layer_classes():
    """The public layers of Keras by class."""
    found = (getattr(keras.layers, name) for name in dir(keras.layers))
    return {cls: cls.__name__ for cls in found if isinstance(cls, type) and issubclass(cls, keras.Layer)}


def kept_if_all_are_removed(analysis):
    """The channels that are left if every one that can be removed is."""
    atoms = analysis.trace.found.atoms
    keep = np.ones(len(atoms), dtype=bool)
    for group in analysis.groups:
        keep[group.channels[group.free]] = False
    return Kept(keep[atoms.roots(np.arange(len(atoms)))])


def tried(build):
    """Classes of layers that lose channels of their own, and those at which removed channels arrive or leave."""
    model = build()
    analysis = kp.analyze_channels(model)
    kept = kept_if_all_are_removed(analysis)

    def removed(labels):
        return not kept.mask(collapse([labels])[0]).all()

    shrunk = {
        id(binding.weight)
        for binding in analysis.trace.found.bindings.values()
        if binding.role == "out" and not kept.mask(binding.labels).all()
    }
    makes, passes = set(), set()
    for part in filter(_keras.is_graph, _keras.flatten(model)):
        for node in _keras.graph_nodes(part):
            if not isinstance(node.operation, keras.Layer):
                continue
            classes = {type(layer) for layer in _keras.flatten(node.operation)}
            if any(id(weight) in shrunk for weight in node.operation.weights):
                makes |= classes
            tensors = (*node.arguments.keras_tensors, *node.outputs)
            if any(removed(analysis.trace.tensors[id(tensor)]) for tensor in tensors):
                passes |= classes
    return makes, passes


def layer_rows():
    """What can be said of layers, and of which: a table's rows."""
    classes, makes, passes = layer_classes(), set(), set()
    for build in ZOO:
        more = tried(build)
        makes |= more[0]
        passes |= more[1]
    makes, passes = ({classes[cls] for cls in found if cls in classes} for found in (makes, passes))
    rows = [
        ("Their own channels (filters, units, heads, dimensions) can be removed", makes),
        ("Channels that were removed before them pass through", passes - makes),
    ]
    kept = [(f"Channels are kept: {why}", set(names.split())) for why, names in channel_stays.LAYERS.items()]
    return [(what, sorted(names)) for what, names in rows + kept]


def layer_table():
    lines = ["| What happens | Layers of Keras |", "|---|---|"]
    return lines + [f"| {what} | {', '.join(f'`{name}`' for name in names)} |" for what, names in layer_rows()]


# Architectures.


def architecture_table():
    """One row for each family, from the page that `make proof` wrote."""
    families = collections.defaultdict(list)
    for line in APPLICATIONS.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in dir(keras.applications):
            family = next(FAMILIES[start] for start in FAMILIES if cells[0].startswith(start))
            families[family].append(cells)
    lines = [
        "| Family | Architectures | Parameters after | MACs after | Kept whole | Normalised together |",
        "|---|---:|---:|---:|---|---|",
    ]
    for family, rows in families.items():
        parameters, macs = (span(re.search(r"\((.+)%\)", row[column])[1] for row in rows) for column in (2, 4))
        frozen = sorted({group.partition(": ")[2] for row in rows for group in row[6].rpartition(" (")[0].split("; ")})
        inexact = sorted({row[7].partition(": ")[2] for row in rows} - {""})
        cells = (family, str(len(rows)), parameters, macs, ", ".join(frozen), ", ".join(inexact) or "-")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def span(percentages):
    values = sorted(float(each) for each in percentages)
    ends = dict.fromkeys(f"{value:.0f}" for value in (values[0], values[-1]))
    return " to ".join(ends) + "%"


# Kinds of models.


def body(x):
    """Convolutions with residual connections: channels, weights and layers can be removed."""
    x = layers.Conv2D(8, 3, padding="same")(x)
    for _ in range(2):
        branch = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
        x = layers.Add()([x, layers.Conv2D(8, 3, padding="same")(branch)])
    return x


def head(x):
    return layers.Dense(2)(layers.GlobalAveragePooling2D()(x))


def sequential():
    convolutions = [layers.Conv2D(8, 3, padding="same", activation="relu") for _ in range(3)]
    return keras.Sequential([keras.Input((8, 8, 3)), *convolutions, layers.GlobalAveragePooling2D(), layers.Dense(2)])


def functional(between=lambda x: x, kind=keras.Model):
    inputs = keras.Input((8, 8, 3))
    return kind(inputs, head(between(body(inputs))))


def nested():
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, head(keras.Model(inputs, body(inputs), name="backbone")(inputs)))


def shared():
    inputs = keras.Input((8, 8, 3))
    twice = layers.Conv2D(8, 3, padding="same", name="shared")
    return keras.Model(inputs, head(twice(twice(body(inputs)))))


@keras.saving.register_keras_serializable("known_models")
class OwnStep(keras.Model):
    def train_step(self, *arguments):
        return super().train_step(*arguments)


@keras.saving.register_keras_serializable("known_models")
class OwnConstructor(keras.Model):
    def __init__(self, size=8, **arguments):
        inputs = keras.Input((size, size, 3))
        super().__init__(inputs, head(body(inputs)), **arguments)
        self.size = size

    def get_config(self):
        return {"size": self.size, "name": self.name}


@keras.saving.register_keras_serializable("known_models")
class Subclassed(keras.Model):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.conv, self.pool, self.dense = layers.Conv2D(8, 3), layers.GlobalAveragePooling2D(), layers.Dense(2)

    def call(self, x):
        return self.dense(self.pool(self.conv(x)))


def subclassed():
    model = Subclassed()
    model(np.zeros((1, 8, 8, 3), "float32"))
    return model


@keras.saving.register_keras_serializable("known_models")
class Custom(layers.Layer):
    def call(self, x):
        return 2 * x


@keras.saving.register_keras_serializable("known_models")
class WithRule(Custom):
    pass


@kp.register_rule(WithRule)
def with_rule(call):
    return call.inputs[0]


def recurrent():
    inputs = keras.Input((6, 5))
    x = layers.LSTM(8, return_sequences=True)(layers.Dense(8)(inputs))
    return keras.Model(inputs, layers.Dense(2)(layers.GRU(8)(x)))


def transformer():
    tokens = keras.Input((9,), dtype="int32")
    x = layers.Embedding(10, 8)(tokens)
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(4, 4)(y, y)])
        y = layers.Dense(16, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(8)(y)])
    return keras.Model(tokens, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))


def hub_convolutions():
    from keras_hub.models import ResNetBackbone

    return ResNetBackbone([64], [7], [64, 64], [2, 2], [1, 2], "basic_block", image_shape=(32, 32, 3))


def hub_transformer():
    from keras_hub.models import BertBackbone

    return BertBackbone(vocabulary_size=20, num_layers=2, num_heads=2, hidden_dim=8, intermediate_dim=16)


MODELS = {
    "`Sequential`": sequential,
    "Functional, with residual connections": functional,
    "A model in a model": nested,
    "One layer called twice": shared,
    "Recurrent (`LSTM`, `GRU`)": recurrent,
    "Transformer blocks": transformer,
    "Functional, of a subclass with its own `train_step`": lambda: functional(kind=OwnStep),
    "Functional, with a custom layer that has a rule": lambda: functional(WithRule()),
    "Functional, with a custom layer that has none": lambda: functional(Custom()),
    "Functional, with a `Lambda` layer": lambda: functional(layers.Lambda(lambda x: 2 * x)),
    "Functional, of a subclass with its own constructor": OwnConstructor,
    "Subclassed, with its own `call`": subclassed,
    "keras_hub `ResNetBackbone`": hub_convolutions,
    "keras_hub `BertBackbone`": hub_transformer,
}
METHODS = {
    "prune_weights": lambda model: kp.strip_pruning(kp.prune_weights(model, 0.5)),
    "prune_channels": lambda model: kp.prune_channels(model, 0.5).model,
    "prune_layers": lambda model: kp.prune_layers(model, ratio=0.5).model,
}


def outcome(build, method):
    """What is left of the model's weights, or the error."""
    keras.utils.set_random_seed(0)
    model = build()
    before = sum(np.count_nonzero(ops.convert_to_numpy(weight)) for weight in model.trainable_variables)
    try:
        small = METHODS[method](model)
    except (TypeError, ValueError) as error:
        return f"refused: {' '.join(str(error).split())}".replace("|", r"\|").replace("<", "&lt;")
    after = sum(np.count_nonzero(ops.convert_to_numpy(weight)) for weight in small.trainable_variables)
    return f"works: {after / before:.0%} of the weights kept"


def model_table():
    """One row for each kind of model. Rows of keras_hub are those of the page where it is not installed."""
    old = PAGE.read_text(encoding="utf-8").splitlines() if PAGE.exists() else []
    lines = ["| Model | " + " | ".join(f"`{method}`" for method in METHODS) + " |", "|---" * (len(METHODS) + 1) + "|"]
    for name, build in MODELS.items():
        if name.startswith("keras_hub") and importlib.util.find_spec("keras_hub") is None:
            lines += [line for line in old if line.startswith(f"| {name} |")]
            continue
        keras.backend.clear_session()
        lines.append("| " + " | ".join([name, *(outcome(build, method) for method in METHODS)]) + " |")
    return lines


def main():
    sections = {
        "Kinds of models": [
            "Each is pruned by half. `prune_weights` sets weights to zero; the others return a smaller model.",
            "",
            *model_table(),
        ],
        "Architectures of keras.applications": [
            "Half of the channels of every group are removed, and the result is compared with an oracle: see",
            "[keras.applications at half the channels](applications.md).",
            "",
            *architecture_table(),
        ],
        "Layers": [
            "What `prune_channels` does at each layer of Keras, in at least one configuration. A custom layer takes",
            "[a rule](guides/custom-layers.md); without one, the channels that reach it are kept.",
            "",
            *layer_table(),
        ],
    }
    text = HEAD + "\n".join(f"## {title}\n\n" + "\n".join(lines) + "\n" for title, lines in sections.items())
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
