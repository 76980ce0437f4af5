"""Reconstruction of single weights: layer by layer, what a mask keeps takes over what it prunes, without training."""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.masking.masked_weights import MaskedWeight, find_masked, inner_layer, walk_layers
from keras_prune.masking.prunable import Held
from keras_prune.measurement.batches import Batches
from keras_prune.measurement.copies import copy_to_measure
from keras_prune.measurement.padding import find_unused_padding
from keras_prune.reconstruction.masks.given_mask import fit_kept
from keras_prune.reconstruction.masks.layer_problem import LayerProblem
from keras_prune.reconstruction.masks.prefix import equations_beside, order_of_use
from keras_prune.reconstruction.masks.removal import remove
from keras_prune.reconstruction.recalibrate import recalibrate_statistics, recalibration_batches
from keras_prune.reconstruction.views.linear_view import LinearView
from keras_prune.reconstruction.views.linear_views import linear_views
from keras_prune.reporting.progress import track
from keras_prune.reporting.unmet import say, short_list
from keras_prune.weights.choice import Choice

BATCH_SIZE = 64


@dataclasses.dataclass(frozen=True, eq=False)
class Refitted:
    """A masked weight that is refitted.

    Args:
        weight: The weight.
        view: The weight as a linear map.
        wanted: The same weight of the original model.
        uses: How often it is read in a call of the model.
    """

    weight: MaskedWeight
    view: LinearView
    wanted: LinearView
    uses: int


class Reconstruction:
    """A model with masks, beside the original whose outputs it should have, layer after layer.

    Args:
        model: The model, which is changed in place.
        original: The model of the same layers, with masks or without, which is only read.
        data: Inputs, as `prune_weights` takes them.

    Attributes:
        weights: What can be refitted, in the order in which the model computes.

    Raises:
        ValueError: No data, data that do not fit, or an original of other layers.
        TypeError: Data of another type.
    """

    def __init__(self, model: keras.Model, original: keras.Model, data: Any):
        self._model, self._original, self._data = model, original, data
        self._batches = Batches(data, model, with_targets=False, batch_size=BATCH_SIZE)
        inputs = next(iter(self._batches))[0]
        self.weights = list(self._find(inputs))
        self._unused = find_unused_padding(model, {id(each.view.layer) for each in self.weights}, inputs)

    def _find(self, inputs: Any) -> Iterator[Refitted]:
        found = []
        own, others = dict(walk_layers(self._model)), dict(walk_layers(self._original))
        for weight in find_masked(self._model):
            view = _view(weight.held)
            if view is None or weight.shared is not None:
                continue
            twin = others.get(weight.layer)
            wanted = None
            if twin is not None:
                wanted = _view(Held.at(inner_layer(twin), weight.held.place(inner_layer(own[weight.layer]))))
            if wanted is None or tuple(wanted.weight.shape) != tuple(view.weight.shape):
                raise ValueError(
                    "`original` must have the layers of `model`, by name. "
                    f"Received: original='{self._original.name}' without a weight like '{weight.path}'"
                )
            found.append((weight, view, wanted))
        for index, uses in order_of_use(self._model, [view for _, view, _ in found], inputs):
            yield Refitted(*found[index], uses)

    def problem(self, each: Refitted, weights: np.ndarray) -> LayerProblem:
        """What is to be solved for a weight, now that those before it are as they are.

        Args:
            each: The weight.
            weights: The values from which a change is penalised, array (groups, inputs, outputs).
        """
        models = self._model, self._original
        equations = equations_beside(*models, each.view, each.wanted, each.uses, self._batches, self._unused)
        return LayerProblem.of(each.view, equations, weights)

    def run(self, pruned: Collection[int], choices: Mapping[int, Choice]) -> None:
        """Refit weights, each with inputs from those before it as they are then.

        Args:
            pruned: The weights to refit, by the `id` of their masks.
            choices: How the mask of each is chosen; those that are not among them keep the mask that they have.
        """
        chosen = [each for each in self.weights if id(each.weight.mask) in pruned]
        few = []
        for each in track(chosen, len(chosen), "Reconstructing"):
            rows, inputs = self._refit(each, choices.get(id(each.weight.mask)))
            if rows < inputs:
                few.append(f"{each.weight.path}: {rows:,} rows for {inputs:,} inputs")
        self._say(pruned, few)

    def _refit(self, each: Refitted, choice: Choice | None) -> tuple[int, int]:
        """Refits a weight; returns from how many rows, and for how many inputs. No more of its equations is kept: those
        of two layers are never there at a time."""
        values = (each.view if choice is None else each.wanted).matrices()
        problem = self.problem(each, values)
        if choice is None:
            kept = each.view.matrices(each.weight.kept())
            fitted = fit_kept(problem.damped, kept, values)
        else:
            kept = each.view.matrices(choice.before)
            kept, fitted = remove(problem.damped, kept, choice.chooser(each.weight, each.view), values)
            each.weight.set_mask(each.view.weights(kept))
        problem.write(fitted)
        return problem.rows, kept.shape[1]

    def _say(self, pruned: Collection[int], few: Sequence[str]) -> None:
        found = {id(each.weight.mask) for each in self.weights}
        left = [each.path for each in find_masked(self._model) if id(each.mask) in set(pruned) - found]
        if left:
            say(
                "Not all weights are reconstructed: those that do not multiply the inputs of their layer, share their "
                f"values or are not used in a call are only masked. Received: {short_list(left)}"
            )
        if few:
            say(
                "Some layers read fewer rows of data than they have inputs, which leaves weights open: those stay near "
                f"their values. Pass more samples. Received: {short_list(few)}"
            )

    def recalibrate(self) -> None:
        """Replace the statistics of BatchNormalization layers by those of the data."""
        if not any(isinstance(layer, keras.layers.BatchNormalization) for layer in _keras.flatten(self._model)):
            return
        if not _keras.is_graph(self._model):
            say(
                "The statistics of BatchNormalization layers are left as they are: those of models with a graph can be "
                f"estimated again. Received: the subclassed model '{self._model.name}'"
            )
            return
        recalibrate_statistics(self._model, recalibration_batches(self._model, self._data))


def original_of(model: keras.Model, given: keras.Model) -> keras.Model:
    """The original of a model: what it was made from, or a copy where that was changed in place."""
    return copy_to_measure(given)[0] if model is given else given


def unchanged(layers: Iterable[keras.Layer]) -> Callable[[], None]:
    """A function that gives all weights of some layers, or models, the values back that they have now."""
    values = [(weight, np.array(_keras.as_numpy(weight))) for layer in layers for weight in layer.weights]

    def undo() -> None:
        for weight, value in values:
            weight.assign(value)

    return undo


def _view(held: Held) -> LinearView | None:
    """The weight as a linear map; None where its kind is unknown."""
    return next((view for view in linear_views(held.layer) if view.weight is held.weight), None)
