"""One weight fitted again: its equations are added up over the data, solved, and its values set."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.measurement.flat_copy import Step
from keras_prune.reconstruction.normal_equations import NormalEquations
from keras_prune.reconstruction.refitting.counted import Counted
from keras_prune.reconstruction.refitting.frontier import Frontier
from keras_prune.reconstruction.refitting.readings import Reading
from keras_prune.reconstruction.refitting.softmax_fit import can_fit_softmax, fit_softmax
from keras_prune.reconstruction.refitting.tails import Tail
from keras_prune.reconstruction.views.linear_view import LinearView, counted_rows
from keras_prune.validation import check_finite

Cut = Callable[[Any, np.ndarray], np.ndarray]
"""Takes a tensor of the original model and its values, and returns those at the channels that are kept."""

SAME = 1e-5  # relative to the largest product: float32 computed in another order
_ROUNDED = {"float16": 4e-3, "bfloat16": 3e-2}  # likewise: four times the distance of neighbouring numbers
ROWS = 1 << 16  # that are enough for a few hundred inputs: neighbours in an image say much the same
ROWS_FOR_EACH_INPUT = 50
HELD = 1 << 26  # entries of columns that are held, in float32, to fit behind a ReLU


@dataclasses.dataclass(frozen=True)
class Settings:
    """How weights are fitted.

    Args:
        ridge: How much they are held to what they are; see `NormalEquations.solve`. Defaults to None: as
            cross-validation prefers.
        sweeps: How often those before a ReLU are fitted again, now that it is known which values are below zero.
            Defaults to 3.
        sums: Whether sums with shortcuts are fitted, rather than their terms. Defaults to True.
        softmax: Whether the probabilities that a softmax makes are fitted, where a `Dense` stands before it. Defaults
            to True.
    """

    ridge: float | None = None
    sweeps: int = 3
    sums: bool = True
    softmax: bool = True


@dataclasses.dataclass(frozen=True, eq=False)
class Use:
    """One use of a weight: the step in the smaller model, and what is fitted behind it in both.

    Args:
        step: The step in the smaller model.
        tail: What follows it there.
        target: The tensor of the original that is the target, and that of its copy.
        given: What the weight reads. Defaults to None: the first input of the step.
        wanted: What it should give, in the original, where that never leaves the layer. Defaults to None: `target`.
        counted: Which positions of what it reads count. Defaults to None: all of them.
    """

    step: Step
    tail: Tail
    target: tuple[Any, Any]
    given: Reading | None = None
    wanted: Reading | None = None
    counted: Counted | None = None


@dataclasses.dataclass(frozen=True)
class FitResult:
    """What came of a fit.

    Args:
        rows: The number of rows (samples times places) in the equations.
        inputs: The number of inputs of each output.
        before: The sum of squares of the errors, relative to that of the targets around their mean, with the weights
            as they were.
        after: Likewise, with those that were found.
        changed: Whether the weights were changed.
    """

    rows: int
    inputs: int
    before: float
    after: float
    changed: bool


class LayerFit:
    """The fit of one weight.

    Args:
        view: The weight, in the smaller model.
        uses: All its uses.
        before: Values in the original.
        after: Values in the smaller model.
        cut: What is kept of the tensors of the original.
        settings: How to fit.
    """

    def __init__(
        self, view: LinearView, uses: Sequence[Use], before: Frontier, after: Frontier, cut: Cut, settings: Settings
    ):
        self._view, self._uses, self._cut, self._settings = view, uses, cut, settings
        self._norm = uses[0].tail.norm if view.bias is None and len(uses) == 1 else None
        self._intercept = view.bias is not None or self._norm is not None
        self._before, self._after = before, after
        self._given = [use.given or Reading(use.step.inputs[0][1]) for use in uses]
        self._wanted = [use.wanted or self._target_of(use) for use in uses]
        # What is read of the smaller model for each use: the inputs of the weight, if they are a tensor, and the rest.
        self._reads = [
            [*([] if given.tensor is None else [given.tensor]), *use.tail.others]
            for given, use in zip(self._given, uses, strict=True)
        ]

    def run(self, batches: Iterable[Any], samples: int) -> FitResult | None:
        """Fits the weight; None if it gives what it should as it is.

        Args:
            batches: As `Batches` gives them.
            samples: How many samples there are in all.
        """
        start = self._start()
        equations = NormalEquations(self._view, self._intercept)
        most = max(ROWS, ROWS_FOR_EACH_INPUT * equations.gram.shape[1])
        sweeps = bool(self._settings.sweeps) and any(use.tail.limits for use in self._uses)
        held: list[_Held] | None = [] if sweeps or self._before_softmax() else None
        room = HELD
        for number, (x, *_) in enumerate(batches):
            for use, given, others, target in self._values(x):
                if number == 0 and self._is_right(use, given[:8], [each[:8] for each in others], target[:8], start):
                    return None
                places = self._places(target, most, samples, number)
                wanted, *limits = self._products(use, others, target, places)
                counted = counted_rows(self._view, given, places, None if use.counted is None else use.counted[number])
                done = 0
                for columns in equations.columns(given, places):
                    part = slice(done, done + columns.shape[1])
                    rows, *bounds = (each[:, part] for each in (wanted, *limits))
                    done += columns.shape[1]
                    if counted is not None:
                        columns, rows, *bounds = (each[:, counted[part]] for each in (columns, rows, *bounds))
                    equations.add_rows(columns, rows)
                    room -= columns.size
                    if held is not None and room >= 0:
                        own = [each.astype(np.float32) for each in bounds]
                        held.append(_Held(columns.astype(np.float32), rows.astype(np.float32), own))
        check_finite(equations.gram, "Activations", f"the inputs of {self._view.weight.path}")
        check_finite(equations.cross, "Activations", f"what {self._view.weight.path} should give")
        before = equations.error(start).sum()
        found = self._solve(equations, start)
        exact = equations.error(found).sum() <= np.square(SAME) * equations.squares.sum()
        if held is not None and room >= 0 and not exact:
            refine = self._fit_softmax if self._before_softmax() else self._refine
            found = refine(equations, start, found, held)
        after = equations.error(found).sum()
        whole = (equations.squares - np.square(equations.sums) / max(equations.rows, 1)).sum()
        total = float(np.sum(equations.squares))
        scale = float(whole) if whole > 1e-12 * total else max(total, 1e-30)  # outputs may be constant
        changed = bool(np.isfinite(found).all() and after < before)
        if changed:
            self._assign(found)
        left = (after if changed else before) / scale
        return FitResult(equations.rows, equations.gram.shape[1], float(before / scale), float(left), changed)

    @property
    def variables(self) -> list[keras.Variable]:
        """What `run` changes."""
        bias = self._view.bias if self._norm is None else self._norm.moving_mean
        return [self._view.weight, *([] if bias is None else [bias])]

    def _start(self) -> np.ndarray:
        """The weights as they are, the bias in the last row."""
        start = np.array(self._view.matrices(), np.float64)
        if not self._intercept:
            return start
        offsets = np.zeros_like(start[:, 0]) if self._view.bias is None else self._view.offsets()
        return np.concatenate([start, offsets[:, None]], axis=1)

    def _solve(self, equations: NormalEquations, start: np.ndarray) -> np.ndarray:
        found = equations.solve(start, self._settings.ridge)
        weak = self._weak()
        return found if weak is None else np.where(weak, start, found)

    def _refine(
        self, equations: NormalEquations, start: np.ndarray, found: np.ndarray, held: Sequence["_Held"]
    ) -> np.ndarray:
        """Fits again with the targets that a ReLU lets through: below its limit whatever the weights give now."""
        most = equations.error(start).sum()
        best, cross = found, equations.cross
        for _ in range(self._settings.sweeps):
            equations.cross = np.zeros_like(cross)
            for part in held:
                aimed = part.aimed(best)
                for index, columns in enumerate(part.columns):
                    equations.cross[index] += columns.T @ aimed[index]
            found = self._solve(equations, start)
            equations.cross = cross
            if not equations.error(found).sum() < most:  # it must stay better than the weights as they were
                break
            best = found
        return best

    def _fit_softmax(
        self, equations: NormalEquations, start: np.ndarray, found: np.ndarray, held: Sequence["_Held"]
    ) -> np.ndarray:
        """Fits the probabilities, where that leaves the products better than they were too."""
        if not can_fit_softmax(equations.rows, *found.shape[1:]):
            return found
        columns, logits = (
            np.concatenate([values[0] for values in each]).astype(np.float64)
            for each in ([part.columns for part in held], [part.rows for part in held])
        )
        best = fit_softmax(columns, logits, found[0], self._intercept)[None]
        return best if equations.error(best).sum() < equations.error(start).sum() else found

    def _before_softmax(self) -> bool:
        tails = [use.tail for use in self._uses]
        plain = type(self._view) is LinearView and all(each.norm is None and not each.others for each in tails)
        return self._settings.softmax and plain and all(each.softmax for each in tails)

    def _places(self, target: np.ndarray, most: int, samples: int, number: int) -> np.ndarray | None:
        """Which rows of each sample of a batch are taken; None for all, if they are not too many."""
        there = self._view.rows(target[:1]).shape[1]
        enough = -(-most // samples)
        if there <= enough:
            return None
        return np.sort(np.random.default_rng(number).choice(there, enough, replace=False))

    def _values(self, x: Any) -> Iterable[tuple[Use, np.ndarray, list[np.ndarray], np.ndarray]]:
        small = iter(self._after.values([tensor for each in self._reads for tensor in each], x))
        targets = [each.tensor for each in self._wanted if each.tensor is not None]
        whole = iter(self._before.values(targets, x))
        for use, given, wanted in zip(self._uses, self._given, self._wanted, strict=True):
            read = given.values(x, None if given.tensor is None else next(small))
            others = [next(small) for _ in use.tail.others]
            yield use, read, others, wanted.values(x, None if wanted.tensor is None else next(whole))

    def _target_of(self, use: Use) -> Reading:
        whole, made = use.target
        return Reading(made, change=functools.partial(self._cut, whole))

    def _products(
        self, use: Use, others: list[np.ndarray], target: np.ndarray, places: np.ndarray | None
    ) -> list[np.ndarray]:
        """Rows that the weight should give, and between which two limits they matter if there are some, likewise."""

        def rows(values: np.ndarray) -> np.ndarray:  # of shape (groups, samples or 1, places, outputs)
            found = self._view.rows(np.broadcast_to(values, (len(values), *target.shape[1:])), places)
            return found.reshape(len(found), len(values), -1, found.shape[-1]).astype(np.float64)

        scale, shift = use.tail.scale_and_shift()
        scale = np.where(np.abs(scale) > 0, scale, 1.0)
        scale, rest = (
            rows(each[None]) if isinstance(each, np.ndarray) and each.ndim else each for each in (scale, shift)
        )
        for each in others:
            rest = rest + rows(each)
        aims = [(each - rest) / scale for each in (rows(target), *(use.tail.limits or ()))]
        wanted, *limits = (
            np.broadcast_to(each, aims[0].shape).reshape(len(aims[0]), -1, aims[0].shape[-1]) for each in aims
        )
        return [wanted, *([np.minimum(*limits), np.maximum(*limits)] if limits else [])]

    def _is_right(
        self, use: Use, given: np.ndarray, others: list[np.ndarray], target: np.ndarray, start: np.ndarray
    ) -> bool:
        columns = next(iter(NormalEquations(self._view, self._intercept).columns(given)))
        rows = self._products(use, others, target, None)[0][:, : columns.shape[1]]
        same = _ROUNDED.get(getattr(self._view.layer, "compute_dtype", ""), SAME)
        return bool(np.abs(columns @ start - rows).max() <= same * max(np.abs(rows).max(), 1e-30))

    def _weak(self) -> np.ndarray | None:
        """Which outputs a normalisation all but removes: what is left of them says nothing about the weights."""
        weak = np.zeros(self._view.matrices().shape[0::2], bool)
        for use in self._uses:
            scale, _ = use.tail.scale_and_shift()
            if isinstance(scale, np.ndarray):
                weak |= (np.abs(scale) <= 1e-4 * np.abs(scale).max()).reshape(weak.shape)
        return weak[:, None] if weak.any() else None

    def _assign(self, found: np.ndarray) -> None:
        view = self._view
        view.weight.assign(view.weights(found[:, :-1] if self._intercept else found))
        if view.bias is not None:
            view.bias.assign(view.biases(found[:, -1]))
        elif self._norm is not None:  # which takes the mean of its inputs away: less of it is a bias
            mean = _keras.as_numpy(self._norm.moving_mean)
            self._norm.moving_mean.assign(mean - found[:, -1].reshape(mean.shape))
        changed = [self._view.layer, *(use.step.operation for use in self._uses), self._norm]
        self._after.forget(each for each in changed if each is not None)


@dataclasses.dataclass(frozen=True, eq=False)
class _Held:
    """Rows that are fitted more than once: the columns, the targets, and between which limits these matter."""

    columns: np.ndarray
    rows: np.ndarray
    limits: list[np.ndarray]

    def aimed(self, weights: np.ndarray) -> np.ndarray:
        """Targets that ask for nothing where a ReLU makes the same of what the weights give."""
        if not self.limits:
            return self.rows
        (low, high), products = self.limits, self.columns @ weights.astype(np.float32)
        aimed = np.where(self.rows <= low, np.minimum(products, low), self.rows)
        return np.where(self.rows >= high, np.maximum(products, high), aimed)
