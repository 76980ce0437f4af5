"""The two sides of tests/support/tfmot_behaviours*.py: tfmot with Keras 2, and `keras_prune.tfmot` with Keras 3.

A behaviour is a function of a side: the code of a user, whose imports alone differ. It returns what can be written as
JSON. Its decorator says what must come out, and where tfmot gives something else, what that is; such a difference
stands in docs/guides/moving-from-tfmot.md, in a line that contains `guide`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Behaviour:
    run: Callable[..., Any]
    here: Any
    tfmot: Any
    guide: str | None = None


BEHAVIOURS: dict[str, Behaviour] = {}
_SAME = object()


def behaviour(here: Any, tfmot: Any = _SAME, guide: str | None = None) -> Callable[[Any], Any]:
    def note(run: Callable[..., Any]) -> Callable[..., Any]:
        assert (tfmot is _SAME) == (guide is None), "a difference stands in the guide"
        assert run.__name__ not in BEHAVIOURS
        BEHAVIOURS[run.__name__] = Behaviour(run, here, here if tfmot is _SAME else tfmot, guide)
        return run

    return note


@dataclasses.dataclass
class Side:
    """What the code of a user imports, and a folder for its files."""

    keras: Any
    tfmot: Any
    folder: str

    def __post_init__(self):
        self.layers, self.sparsity = self.keras.layers, self.tfmot.sparsity.keras
        self.here = hasattr(self.keras, "ops")
        self.every_step = self.sparsity.ConstantSparsity(0.5, 0, -1, 1)

    def prune(self, thing, schedule=None, **settings):
        return self.sparsity.prune_low_magnitude(thing, schedule or self.every_step, **settings)

    def is_wrapped(self, layer):
        return type(layer).__name__ == "PruneLowMagnitude"

    def count(self, model):
        """The layers that are wrapped, in models inside too."""
        inner = [layer for layer in model.layers if isinstance(layer, self.keras.Model)]
        return sum(map(self.is_wrapped, model.layers)) + sum(map(self.count, inner))

    def refuses(self, call, *args, **kwargs):
        try:
            call(*args, **kwargs)
        except ValueError:
            return True
        return False

    def dense(self):
        """A model of two layers, of 80 and 40 weights."""
        layers = self.layers
        return self.keras.Sequential(
            [
                self.keras.Input((10,)),
                layers.Dense(8, activation="relu"),
                layers.Dense(5, activation="softmax"),
            ]
        )

    def data(self, model, rows=20):
        rng = np.random.default_rng(0)
        shapes = [model.input_shape, model.output_shape]
        return [rng.normal(size=(rows, *shape[1:])).astype("float32") for shape in shapes]

    def fit(self, model, epochs=1, callbacks=None, rate=0.01, data=None):
        """Trains, one step an epoch; compiles the model unless it is."""
        x, y = data or self.data(model)
        if getattr(model, "optimizer", None) is None:
            optimizer = self.keras.optimizers.SGD(rate)
            model.compile(optimizer, self.keras.losses.MeanSquaredError(), run_eagerly=self.here)
        callbacks = [self.sparsity.UpdatePruningStep()] if callbacks is None else callbacks
        model.fit(x, y, batch_size=len(x), epochs=epochs, verbose=0, callbacks=callbacks)

    def sparse(self, model):
        """The part of zeros in each matrix of each wrapped layer."""
        found = []
        for layer in model.layers:
            if isinstance(layer, self.keras.Model):
                found += self.sparse(layer)
            elif self.is_wrapped(layer):
                values = zip(layer.layer.weights, layer.layer.get_weights(), strict=True)
                matrices = [value for weight, value in values if value.ndim > 1 and "bias" not in weight.name]
                found += [round(float(np.mean(value == 0)), 4) for value in matrices]
        return found

    def trained(self, layer, shape, epochs=1, **settings):
        """What `sparse` gives for a model of one wrapped layer after some steps."""
        model = self.keras.Sequential([self.keras.Input(shape), self.prune(layer, **settings)])
        self.fit(model, epochs)
        return self.sparse(model)

    def mask(self, kernel, schedule=None, epochs=1, **settings):
        """Which weights of a layer with this kernel are kept after steps that change none."""
        kernel = np.array(kernel, "float32")
        layers, units = self.layers, kernel.shape[-1]
        layer = layers.Dense(units) if kernel.ndim == 2 else layers.Conv2D(units, kernel.shape[:2])
        wrapped = self.prune(layer, schedule, **settings)
        shape = kernel.shape[:1] if kernel.ndim == 2 else (4, 4, kernel.shape[2])
        model = self.keras.Sequential([self.keras.Input(shape), wrapped])
        wrapped.layer.set_weights([kernel, np.zeros(units)])
        self.fit(model, epochs, rate=0.0)
        return (wrapped.layer.get_weights()[0] != 0).astype(int).tolist()


def results(side: Side) -> dict[str, Any]:
    """What each behaviour gives on this side, an error included."""
    found = {}
    for name, each in BEHAVIOURS.items():
        try:
            found[name] = each.run(side)
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
        side.keras.backend.clear_session()
    return found
