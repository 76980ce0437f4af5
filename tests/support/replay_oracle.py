"""An oracle that knows no rule: a plan is replayed on weights that hold numbers, which then tell where each kept entry
came from.

All entries of all weights of the model are numbered, and hold ones, then their numbers, digit by digit. Every time the
plan is replayed, so that the smaller model's weights show which entries they are made of. Scattered into zeros of the
large model, the smaller model's weights must then give the smaller model's outputs, whatever their values are. Nothing
of what `keras_prune` knows about layers is used, only what it returns.
"""

import contextlib
import dataclasses

import keras
import numpy as np
from keras import ops
from support.channel_zoo import difference, outputs

import keras_prune as kp

NOWHERE = -1
BASE = 2**18  # of the digits: they and their products with a factor are exact enough in single precision


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where the entries of one weight of the smaller model come from.

    Args:
        weight: For each entry, which of the large model's weights it comes from; NOWHERE for a constant.
        place: For each entry, its place in that weight, flattened.
        scale: For each entry, what it was multiplied by.
    """

    weight: np.ndarray
    place: np.ndarray
    scale: np.ndarray

    def parts(self):
        """Each of the large model's weights, and which entries come from it."""
        return [(index, self.weight == index) for index in np.unique(self.weight) if index != NOWHERE]


@dataclasses.dataclass(frozen=True)
class Proof:
    """What was found.

    Args:
        error: The largest difference between both models' outputs, relative to the largest output.
        change: By how much pruning changed the outputs.
        kept: By number of the large model's weight, how many of its entries are in the smaller model.
        absent: The paths of the large model's weights of which nothing is in the smaller model. They keep their values.
        scaled: The paths of the smaller model's weights that are entries of the large one's times a factor.
        constant: Likewise, of those with entries that are the same whatever the large model's weights are.
    """

    error: float
    change: float
    kept: dict[int, int]
    absent: tuple[str, ...]
    scaled: tuple[str, ...]
    constant: tuple[str, ...]


def counted(model):
    """The weights with numbers: all others, such as the states of random generators, are copied as they are."""
    return [weight for weight in model.weights if keras.backend.is_float_dtype(weight.dtype)]


def values_of(weights):
    return [np.array(ops.convert_to_numpy(weight.value)) for weight in weights]


@contextlib.contextmanager
def lent(model):
    """The model, whose variables have their values again in the end, the states of random generators too."""
    before = values_of(model.variables)
    try:
        yield
    finally:
        for variable, values in zip(model.variables, before, strict=True):
            variable.assign(values)


def find_origins(model, replay):
    """Where each entry of the smaller model's weights comes from.

    Args:
        model: The large model.
        replay: A function without arguments that makes the smaller model of it.
    """
    weights = counted(model)
    starts = np.cumsum([0, *(int(np.prod(weight.shape)) for weight in weights)])

    def pruned(numbers):
        """The smaller model's weights, where the large one's hold these numbers."""
        for weight, start, end in zip(weights, starts, starts[1:], strict=False):
            weight.assign(numbers[start:end].reshape(weight.shape))
        return [each.astype("float64") for each in values_of(counted(replay()))]

    every, digits = np.arange(starts[-1]), []
    with lent(model):
        scales = pruned(np.ones(len(every)))
        while not digits or BASE ** len(digits) < len(every):  # below one, as weights are
            digits.append(pruned(every // BASE ** len(digits) % BASE / BASE))
    found = []
    for number, scale in enumerate(scales):
        constant = digits[0][number] == scale
        factor = np.where(constant, 1.0, scale)
        assert (factor != 0).all(), f"weight {number} of the smaller model has entries that come from several"
        whole = [np.where(constant, 0, digit[number] / factor * BASE) for digit in digits]
        rounded = [np.rint(each).astype(np.int64) for each in whole]
        off = max(np.abs(each - near).max(initial=0) for each, near in zip(whole, rounded, strict=True))
        place = sum(each * BASE**digit for digit, each in enumerate(rounded))
        assert off < 0.25, f"weight {number} of the smaller model mixes entries"
        assert (np.min(rounded, axis=0) >= 0).all(), f"weight {number} of the smaller model has entries of none"
        assert (place < len(every)).all(), f"weight {number} of the smaller model has entries of none"
        owner = np.searchsorted(starts, place, side="right") - 1
        found.append(Origin(np.where(constant, NOWHERE, owner), place - starts[owner], factor))
    return found


def scatter(model, small, origins):
    """Gives the large model the smaller one's weights, and zeros elsewhere, and says which weights have any."""
    weights = counted(model)
    made = [np.zeros(int(np.prod(weight.shape))) for weight in weights]
    taken = [np.zeros(len(each), dtype=bool) for each in made]
    for values, origin in zip(values_of(counted(small)), origins, strict=True):
        for index, here in origin.parts():
            places, written = origin.place[here], values[here] / origin.scale[here]
            same = np.isclose(made[index][places], written, rtol=1e-6) | ~taken[index][places]
            assert same.all(), f"entries of '{weights[index].path}' have two values in the smaller model"
            made[index][places] = written
            taken[index][places] = True
    for weight, values, mine in zip(weights, made, taken, strict=True):
        if mine.any():
            weight.assign(values.reshape(weight.shape))
    return taken


def disturb(model, origins, seed=5):
    """Other weights, as after some training. Variances stay positive, and constants as they are."""
    rng = np.random.default_rng(seed)
    for weight, values, origin in zip(counted(model), values_of(counted(model)), origins, strict=True):
        weight.assign(values * np.where(origin.weight == NOWHERE, 1.0, rng.uniform(0.75, 1.25, weight.shape)))


def run(model, x):
    """The outputs; what the call writes, such as the states of random generators, is forgotten."""
    with lent(model):
        return outputs(model, x)


def prove(model, small, replay, x, tolerance=1e-5):
    """Checks that the smaller model holds entries of the large one, and computes what that computes with only these.

    Args:
        model: The large model. It has its weights again in the end.
        small: What `prune_channels` made of it. It gets other weights.
        replay: A function without arguments that makes the smaller model again, of the weights that the model has then.
        x: Inputs.
        tolerance: The largest error. Defaults to 1e-5.

    Returns:
        A `Proof`.
    """
    weights = counted(model)
    origins = find_origins(model, replay)
    large = [values.ravel() for values in values_of(weights)]
    scaled, constant = [], []
    for weight, values, origin in zip(counted(small), values_of(counted(small)), origins, strict=True):
        for index, here in origin.parts():
            expected = large[index][origin.place[here]] * origin.scale[here]
            assert np.allclose(values[here], expected, rtol=1e-5, atol=1e-7), f"'{weight.path}' holds other values"
        if np.abs(origin.scale - 1).max(initial=0) > 1e-6:
            scaled.append(weight.path)
        if (origin.weight == NOWHERE).any():
            constant.append(weight.path)
    whole, before = run(model, x), run(small, x)
    disturb(small, origins)
    with lent(model):
        taken = scatter(model, small, origins)
        kept = {index: int(mine.sum()) for index, mine in enumerate(taken)}
        error = difference(run(small, x), outputs(model, x))
    assert error <= tolerance, error
    absent = tuple(weights[index].path for index, count in kept.items() if not count)
    return Proof(error, difference(before, whole), kept, absent, tuple(scaled), tuple(constant))


def inexact_whole(report):
    """`ratios` that keep all channels of the groups that are inexact."""
    return dict.fromkeys(name.partition(":")[0] for name in report.inexact)


def prove_plan(model, result, x, tolerance=1e-5):
    """`prove`, for the plan that `prune_channels` returned."""
    assert not result.report.inexact, "there is no such equality for groups that are inexact"
    return prove(model, result.model, lambda: kp.prune_channels(model, plan=result.plan).model, x, tolerance)
