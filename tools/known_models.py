"""Writes docs/known-models.md, what channels are removed from: every line of it comes from a run.

    PYTHONPATH=tests python tools/known_models.py            # writes the page
    PYTHONPATH=tests python tools/known_models.py --check    # says whether the page is as a run makes it

The models are those of the tests, in which each layer of Keras is tried.
"""

import inspect
import pathlib
import sys
from collections.abc import Callable, Iterator

import keras

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from networks.registry import NETWORKS, STAYS  # noqa: E402
from support import channel_stays, channel_zoo, channel_zoo_layers, channel_zoo_ops  # noqa: E402

import keras_prune as kp  # noqa: E402
from keras_prune.graph.structure import Structure  # noqa: E402
from keras_prune.tracing.labels import FIXED  # noqa: E402

PAGE = ROOT / "docs" / "known-models.md"
ZOOS = [*channel_zoo.EXACT]
for _zoo in (channel_zoo_layers, channel_zoo_ops):
    ZOOS += [*_zoo.CORE, *_zoo.MORE]

FAMILIES = {
    "residual": "Residual CNN",
    "concat": "Concatenation of branches (DenseNet, Inception)",
    "shuffle": "Channel shuffle and split (ShuffleNet)",
    "gate": "Squeeze and excitation",
    "depthwise": "Depthwise separable CNN (MobileNet)",
    "groups": "Grouped convolutions",
    "generator": "Generator: Dense, reshape, transposed convolutions",
    "flat": "CNN, flattened into Dense",
    "shared": "Shared layers (siamese)",
    "nested": "Models inside models",
    "two_outputs": "Several outputs",
    "recurrent": "LSTM, GRU and SimpleRNN stacks",
    "attention": "Transformer block",
    "mixer": "MLP mixer",
    "volumes": "3D CNN",
}
# Counted once by hand: the code of others is not part of this repository.
PUBLIC = [
    "Beside these, 61 networks were tried once, in sizes of a few thousand parameters: 38 of public code (examples of "
    "keras.io, keras-unet-collection, keras-tcn) and 23 written again after papers. 55 of them (90 %) end at or below "
    "45 % of their parameters. Of five others a report or an error gives the reason: a custom cell inside `RNN`; a "
    "recommender that multiplies each sample with all others; a layer that must return the three colours of an "
    "image; drop path that is random at inference too; a model that returns something else in training, which is "
    "refused. The sixth, a decision tree, keeps 62 %, since constants of its code count as parameters. 14 more of "
    "public code were not counted: most of them no longer run in Keras 3.15.",
]
MADE, CUT, PASSED = "made", "cut", "passed"


def layer_roles() -> dict[str, str]:
    """What happens at each layer class of Keras, by class: `MADE`, `CUT` or `PASSED`."""
    roles: dict[str, set[str]] = {}
    for build in ZOOS:
        for name, role in _roles(build()):
            roles.setdefault(name, set()).add(role)
    return {name: next(role for role in (MADE, CUT, PASSED) if role in found) for name, found in roles.items()}


def _roles(model: keras.Model) -> Iterator[tuple[str, str]]:
    analysis = kp.analyze_channels(model)
    free = [group for group in analysis.groups if not group.frozen]
    atoms = analysis.trace.found.atoms
    removable = {channel for group in free for channel in group.channels[group.free].tolist()}
    for group in free:
        for member in group.members:
            yield member.kind, MADE if member.makes else CUT
    for node in Structure(model).nodes:
        if isinstance(node.operation, keras.Layer) and type(node.operation).__module__.startswith("keras."):
            for tensor in node.outputs:
                labels = analysis.trace.tensors[id(tensor)]
                channels = labels[labels != FIXED]
                if channels.size and removable & set(atoms.roots(channels.ravel()).tolist()):
                    yield type(node.operation).__name__, PASSED


def family_rows() -> Iterator[tuple[str, ...]]:
    for build in channel_zoo.EXACT:
        if build.__name__ in FAMILIES:
            keras.backend.clear_session()  # names count from the start
            keras.utils.set_random_seed(0)  # whatever was drawn for the families before
            model = build()
            result = kp.prune_channels(model, 0.5)
            report = result.report
            kept = report.parameters_after / report.parameters_before
            whole = ", ".join(f"{name}: {reason}" for name, reason in report.frozen.items()) or "-"
            whole = whole.replace("must stay", "must be kept")
            yield FAMILIES[build.__name__], f"{kept:.0%}", whole


class _OwnConstructor(keras.Model):
    """Functional, but made by a constructor with arguments of its own, like the backbones of keras_hub."""

    def __init__(self, units: int = 8, **kwargs: object):
        inputs = keras.Input((4,))
        x = keras.layers.Dense(units, activation="relu")(inputs)
        super().__init__(inputs, keras.layers.Dense(2)(x), **kwargs)


class _Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = keras.layers.Dense(8, activation="relu"), keras.layers.Dense(2)

    def call(self, inputs: object) -> object:
        return self.out(self.hidden(inputs))


def _stack() -> list[keras.layers.Layer]:
    return [keras.layers.Dense(8, activation="relu"), keras.layers.Dense(2)]


def _sequential() -> keras.Model:
    return keras.Sequential([keras.Input((4,)), *_stack()])


def _functional() -> keras.Model:
    x = inputs = keras.Input((4,))
    for layer in _stack():
        x = layer(x)
    return keras.Model(inputs, x)


def _in_model() -> keras.Model:
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.layers.Dense(2)(_functional()(inputs)))


def _subclassed() -> keras.Model:
    model = _Subclassed()
    model(keras.ops.zeros((1, 4)))  # called once, so that it has its weights
    return model


FORMS: dict[str, Callable[[], keras.Model]] = {
    "`keras.Sequential`": _sequential,
    "Functional `keras.Model(inputs, outputs)`": _functional,
    "models inside models": _in_model,
    "Functional, with a custom constructor (keras_hub backbones)": _OwnConstructor,
    "subclassed `keras.Model`": _subclassed,
}


def form_rows() -> Iterator[tuple[str, ...]]:
    for name, build in FORMS.items():
        tries = (
            lambda model: kp.prune_weights(model, 0.5),
            lambda model: kp.prune_channels(model, 0.5),
            lambda model: kp.analyze_layers(model),
        )
        yield name, *(_outcome(build, attempt) for attempt in tries)


def _outcome(build: Callable[[], keras.Model], attempt: Callable[[keras.Model], object]) -> str:
    try:
        attempt(build())
    except (ValueError, TypeError) as error:
        return f"refused: {str(error).split('. ')[0].split(': a subclassed')[0]}"
    return "yes"


def page() -> str:
    """The text of the page."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    roles = layer_roles()
    classes = inspect.getmembers(keras.layers, inspect.isclass)
    public = {cls.__name__: name for name, cls in classes if issubclass(cls, keras.Layer)}
    public |= {name: name for name, cls in classes if name == cls.__name__ and name in public}  # rather than an alias
    listed = [
        ("Channels, units, heads or embedding widths of these can be removed", MADE),
        ("Weights of these are cut with the channels that they read or scale", CUT),
        ("These pass smaller tensors on; in wrappers, the layer inside is pruned", PASSED),
    ]
    lines = [
        "# Does it know my model?",
        "",
        "This page is written by `tools/known_models.py` from real runs: small models, in which every layer of "
        "Keras is "
        "tried, are pruned by `prune_channels(model, 0.5)`.",
        "",
        "Single weights (`wrap_pruning`, `prune_weights`) need no rule: every kernel of a known layer gets a "
        "mask, in any "
        "form of model.",
        "",
        "## Forms of models",
        "",
        *_table(("Form", "Masks of weights", "Channels", "Layers"), form_rows()),
        "",
        "## Families",
        "",
        "Half of the channels of every group removed from a small network of the family. The real architectures of "
        "`keras.applications`, all 40, are on [their own page](applications.md).",
        "",
        *_table(("Family", "Parameters kept", "Groups that are kept whole, and why"), family_rows()),
        "",
        "## Networks with custom code",
        "",
        f"The tests hold {len(NETWORKS)} small networks as tutorials and papers' code write them: subclassed models, "
        "layers in lists, weights of their own, masks, losses. Half of all channels are removed from each, exactly "
        "where no statistics are taken over them: an oracle that knows no rule checks it. At most 45 % of the "
        "parameters are kept, but in these:",
        "",
        *_table(("Network", "Why more is kept"), [(name.replace("_", " "), why) for name, why in STAYS.items()]),
        "",
        *PUBLIC,
        "",
        "## Layers",
        "",
        *_table(
            ("What happens", "Layers"),
            [(text, _names(public[name] for name in public if roles.get(name) == role)) for text, role in listed],
        ),
        "",
        "At these, all channels are kept:",
        "",
        *_table(("Why", "Layers"), [(reason, _names(found.split())) for reason, found in channel_stays.LAYERS.items()]),
        "",
        "A custom layer has no rule until you [register one](guides/custom-layers.md): channels that reach it "
        "are kept, and "
        "the report names it. A softmax over channels, a cumulative sum or a sort along them keeps them, too.",
        "",
    ]
    return "\n".join(lines)


def _names(found: object) -> str:
    return ", ".join(f"`{name}`" for name in sorted(found)) or "-"  # type: ignore[call-overload]


def _table(headings: tuple[str, ...], rows: object) -> list[str]:
    cells = [tuple(cell.replace("|", "\\|") for cell in row) for row in rows]  # type: ignore[attr-defined]
    return [f"| {' | '.join(row)} |" for row in (headings, ("---",) * len(headings), *cells)]


def main(arguments: list[str]) -> int:
    text = page()
    if "--check" in arguments:
        if PAGE.read_text(encoding="utf-8") != text:
            print(f"{PAGE.relative_to(ROOT)} is not what a run makes: python tools/known_models.py", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
