"""Inputs of a layer in a model whose earlier layers are pruned already, beside its outputs in the original model."""

import contextlib
from collections.abc import Callable, Collection, Sequence
from typing import Any

import keras
import numpy as np

from keras_prune.graph.stateful import states_untouched
from keras_prune.measurement.batches import Batches
from keras_prune.measurement.layer_inputs import Hook, input_hooks
from keras_prune.reconstruction.normal_equations import NormalEquations
from keras_prune.reconstruction.views.linear_view import LinearView
from keras_prune.validation import check_finite

_ROWS, _LEAST = 256, 4


class _Reached(Exception):
    """All inputs of a layer are there: the rest of the model need not run."""

    _keras_call_info_injected = True  # or Keras would raise another one in its place


def order_of_use(model: keras.Model, views: Sequence[LinearView], inputs: Any) -> list[tuple[int, int]]:
    """Which weights are read when a model runs, in this order, and how often: pairs of an index and a number.

    Args:
        model: The model.
        views: Weights of its layers.
        inputs: A batch.
    """
    found: dict[int, int] = {}

    def count(index: int) -> Hook:
        def hook(given: np.ndarray, counted: np.ndarray | None) -> None:
            found[index] = found.get(index, 0) + 1

        return hook

    with states_untouched(model), input_hooks(model, _hooks(views, count)):
        model(inputs, training=False)
    return list(found.items())


def equations_beside(
    model: keras.Model,
    original: keras.Model,
    view: LinearView,
    wanted: LinearView,
    uses: int,
    batches: Batches,
    unused: Collection[int] = (),
) -> NormalEquations:
    """The normal equations of a weight, whose inputs are those in one model and whose products those in another.

    Where a sample has many rows, as the places of an image are, not all batches are read.

    Args:
        model: The model that the inputs are read in.
        original: The model of the same layers that the products are taken from.
        view: The weight.
        wanted: The same weight of the original.
        uses: How often it is read in a call of the model.
        batches: Batches of inputs.
        unused: The layers for which padding makes no difference, see `find_unused_padding`: it is left out. Defaults to
            none.
    """
    equations = NormalEquations(view, intercept=view.bias is not None)
    others = NormalEquations(wanted, intercept=wanted.bias is not None)
    matrices = wanted.matrices()
    if wanted.bias is not None:
        matrices = np.concatenate([matrices, wanted.offsets()[:, None]], axis=1)
    matrices = matrices.astype(np.float64)
    every = 1
    for number, (x, *_) in enumerate(batches):
        if number % every:
            continue
        read = _inputs(model, view, uses, x, unused)
        other = read if original is model else _inputs(original, wanted, uses, x)
        for (given, counted), (first, _) in zip(read, other, strict=True):
            if np.array_equal(given, first):  # nothing before it is pruned
                for columns, _ in equations.chunks(given, counted=counted):
                    equations.add_rows(columns, columns @ matrices)
                continue
            chunks = equations.chunks(given, counted=counted), others.chunks(first, counted=counted)
            for (columns, _), (originals, _) in zip(*chunks, strict=True):
                equations.add_rows(columns, originals @ matrices)
        if not number:
            every = _stride(batches.count, equations.rows, equations.gram.shape[1])
    check_finite(equations.gram, "Activations", f"the inputs of {view.weight.path}")
    return equations


def _stride(count: int | None, rows: int, inputs: int) -> int:
    """Each how many-th batch is read: as many as are needed for `_ROWS` rows for each input, and a quarter of them."""
    needed = -(-_ROWS * inputs // max(rows, 1))
    return 1 if count is None else max(min(count // needed, _LEAST), 1)


def _inputs(
    model: keras.Model, view: LinearView, uses: int, x: Any, unused: Collection[int] = ()
) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """What the weight reads in a call of a model, at each of its uses, and which positions of that count."""
    found: list[tuple[np.ndarray, np.ndarray | None]] = []

    def keep(given: np.ndarray, counted: np.ndarray | None) -> None:
        found.append((np.array(given), counted))  # torch lends its memory
        if len(found) == uses:
            raise _Reached

    hooks = _hooks([view], lambda index: keep)
    with contextlib.suppress(_Reached), states_untouched(model), input_hooks(model, hooks, unused):
        model(x, training=False)
    return found


def _hooks(views: Sequence[LinearView], make: Callable[[int], Hook]) -> dict[int, dict[str, Hook]]:
    hooks: dict[int, dict[str, Hook]] = {}
    for index, view in enumerate(views):
        hooks.setdefault(id(view.layer), {})[view.name] = make(index)
    return hooks
