"""`autoprune`: from a trained model to the smallest one that holds its accuracy."""

import math
import os
import time
from collections.abc import Sequence
from typing import Any, Literal

import keras

from keras_prune.automation.clock import Clock
from keras_prune.automation.folder import check_folder
from keras_prune.automation.goal import Goal, shrunk_by_zeros
from keras_prune.automation.job import Job, check_optimizer
from keras_prune.automation.journal import Journal
from keras_prune.automation.methods import costs_of
from keras_prune.automation.result import AutopruneResult, result_of
from keras_prune.automation.search import Pace, Search
from keras_prune.automation.trials import find_optuna
from keras_prune.costs.budget import Budget
from keras_prune.insight.sensitivity.scan import Kind
from keras_prune.measurement.batches import Batches
from keras_prune.measurement.copies import copy_to_measure
from keras_prune.measurement.evaluation import Evaluation, Mode
from keras_prune.measurement.fingerprint import data_fingerprint, fingerprint, model_fingerprint
from keras_prune.measurement.loss import find_loss
from keras_prune.tracing.checks import check_model
from keras_prune.validation import check_integer

MODES = (None, "float16", "dynamic", "int8", "int16x8")


def autoprune(
    model: keras.Model,
    train_data: Any,
    validation_data: Any,
    *,
    output: str | os.PathLike[str],
    max_drop: float = 0.01,
    metric: str | keras.metrics.Metric | None = None,
    mode: Mode = "auto",
    budget: Budget | None = None,
    methods: Sequence[Kind] = ("channels", "weights"),
    quantize: Literal["float16", "dynamic", "int8", "int16x8"] | None = "int8",
    fine_tune_epochs: int = 2,
    optimizer: Any = None,
    loss: Any = None,
    batch_size: int = 32,
    step: float = 0.5,
    resolution: float = 0.2,
    search: Literal["greedy", "optuna"] = "greedy",
    trials: int = 30,
    sensitivity_samples: int = 1000,
    time_limit: float | None = None,
    seed: int = 0,
    verbose: int = 1,
) -> AutopruneResult:
    """Makes a trained model as small as its accuracy allows: prunes, trains, exports, checks, and steps back.

    Each method begins with a scan of the sensitivity of every layer (`sensitivity`). Then rounds follow: layers lose
    a bit more, those first that cost the least accuracy for what they save; the model is trained, exported as a
    `.tflite` file, and the file itself is measured on the validation data. While the metric holds, the next round
    goes on from there; where it does not, one between the two is tried, until they are close together. Channels come
    first, since they make a model faster; then single weights of what is left, which make its file smaller after
    gzip. Of several methods, each may use its share of `max_drop`: the first of two the half, the second all.

    Everything is in `output`: `journal.json` with each decision and candidate, `sensitivity-*.json`, and for each
    candidate a `.keras` and a `.tflite` file. A run that was killed goes on when it is called again in the same way;
    one that was done returns at once. The random numbers of Keras are set anew before each training.

    The metric was held on the validation data, and the model was chosen by it: judge the result on other data.

    Args:
        model: A built Sequential or Functional model without masks, trained. It is only read.
        train_data: What the rounds train on: `(x, y)`, `(x, y, sample_weight)`, or what else `fit` takes, and that can
            be read more than once. With int8, the ranges are read from its first 200 samples.
        validation_data: What the metric is measured on, in the same forms. It is held in memory.
        output: Folder for everything: a new or empty one, or that of the run to go on with.
        max_drop: How much worse than the model's the metric of the file may be, in its own units: 0.01 of an accuracy
            is one point.
        metric: As in `sensitivity`. Default: the first that the model was compiled with, or else the loss.
        mode: `"max"` if the metric should be high, `"min"` if low, `"auto"` to tell by the metric or its name.
        budget: What the model may cost; the search ends once it is met. Of `macs`, `params` (those that are not zero),
            `bytes` (of the `.tflite` file) and `latency` (of the file; noisy). Fractions are of the unpruned model's,
            exported in the same way. None: as little as the metric allows.
        methods: `"channels"`, `"weights"`, or both.
        quantize: How files are written; as in `tflite_export.export`.
        fine_tune_epochs: Epochs of training in each round, at least 0.
        optimizer: As `compile` takes it. Default: a new one with the settings of the one that the model was compiled
            with, or Adam. A learning rate schedule starts anew in each round.
        loss: As `compile` takes it. Default: that which the model was compiled with.
        batch_size: Of the training, where `train_data` are arrays.
        step: In (0, 1): the part of what is left that a round takes away at first.
        resolution: The search of a method ends when the smallest model that held is no more than this part larger
            than the largest that did not.
        search: How much of each layer goes in a round. `"greedy"`: by the sensitivity of each layer alone. `"optuna"`:
            the best of several allocations, which begin with the greedy one and are judged before training (Akiba et
            al. 2019; extra `optuna`). A resumed run makes these trials again.
        trials: Allocations that Optuna tries in each round, at least 1.
        sensitivity_samples: Validation samples that the scans and trials evaluate on, at most.
        time_limit: Seconds that this call may take. A round begins only if it is likely to be done in time.
        seed: Of the random numbers.
        verbose: 1: prints each decision.

    Returns:
        An `AutopruneResult`; print it. If the goal cannot be met it has the best that was found, and says why.

    Raises:
        ValueError: Values outside these ranges, data that do not fit the model, a metric that it does not have, no
            loss, a time limit that is too short for a first candidate (what was measured is kept), an `output` that
            cannot be written or holds something else, a model that `wrap_pruning` or a class of its own made, a budget
            that no method of these can meet, or one of MACs of a model of which they are not known.
        TypeError: An argument of another type.
        ImportError: The package tflite_export, or what it needs, or Optuna where it is asked for, is not installed.
        tflite_export.ExportError: The unpruned model cannot be exported.

    Example:

    ```python
    model.compile("adam", "mse")
    budget = Budget(params=0.7)
    result = autoprune(model, (x, y), (x, y), output="small", max_drop=0.5, budget=budget, quantize=None)
    print(result)
    print(result.decisions)
    result.model.compile("adam", "mse")  # or use the file, result.path
    ```
    """
    clock = Clock(_checked_time(time_limit))
    check_model(model)
    kinds = _checked_methods(methods)
    _check_numbers(max_drop=max_drop, step=step, resolution=resolution)
    for name, value, least in (
        ("fine_tune_epochs", fine_tune_epochs, 0),
        ("batch_size", batch_size, 1),
        ("trials", trials, 1),
        ("sensitivity_samples", sensitivity_samples, 1),
        ("seed", seed, 0),
    ):
        check_integer(value, name, minimum=least)
    if search not in ("greedy", "optuna"):
        raise ValueError(f'`search` must be "greedy" or "optuna". Received: search={search!r}')
    if search == "optuna":
        find_optuna()
    _check_budget(budget, kinds, quantize, model)
    check_optimizer(optimizer)
    folder = check_folder(output)
    find_loss(model, loss)
    _check_training(train_data, model)
    running = copy_to_measure(model)[1]
    evaluation = Evaluation(running, model, validation_data, metric, mode, loss)
    settings = (max_drop, mode, str(budget), kinds, quantize, fine_tune_epochs, optimizer, loss)
    tried = trials if search == "optuna" else 0
    numbers = (batch_size, step, resolution, tried, sensitivity_samples, seed, evaluation.name)
    compiled = getattr(model, "optimizer", None)
    data = (data_fingerprint(evaluation.batches), _training_fingerprint(train_data, model))
    mark = fingerprint(model_fingerprint(model), data, settings, numbers, compiled)
    journal = Journal(folder, mark, evaluation.name, not evaluation.lower_is_better)
    guess = 0.0 if time_limit is None else _guess(evaluation, running, train_data) * fine_tune_epochs
    job = Job(model, train_data, evaluation, quantize, optimizer, loss, fine_tune_epochs, batch_size, seed, guess)
    goal = Goal(evaluation, max_drop, budget, quantize)
    say = print if verbose else lambda line: None
    run = Search(job, journal, goal, Pace(step, resolution), sensitivity_samples, tried, clock, say)
    run.run(kinds)
    if run.out_of_time and len(journal.candidates) == 1:
        raise ValueError(
            f"`time_limit` is too short for a first candidate: {run.out_of_time}. What was measured is kept in "
            f"`output`, and a call with more time goes on from it. Received: time_limit={time_limit!r}"
        )
    return result_of(journal, run, goal, evaluation)


def _checked_time(limit: Any) -> float | None:
    number = isinstance(limit, int | float) and not isinstance(limit, bool) and 0 < limit < math.inf
    if limit is not None and not number:
        raise ValueError(f"`time_limit` must be a positive number of seconds, or None. Received: time_limit={limit!r}")
    return limit


def _checked_methods(methods: Any) -> tuple[Kind, ...]:
    listed = list(methods) if isinstance(methods, list | tuple) else []
    if not listed or len(set(listed)) != len(listed) or not set(listed) <= {"channels", "weights"}:
        raise ValueError(f'`methods` must be "channels", "weights" or both, in a list. Received: methods={methods!r}')
    return tuple(sorted(listed))  # channels of a model with masks cannot be followed


def _check_numbers(max_drop: Any, step: Any, resolution: Any) -> None:
    for name, value in (("max_drop", max_drop), ("step", step), ("resolution", resolution)):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if name == "max_drop" and not (number and 0 <= value < math.inf):
            raise ValueError(f"`max_drop` must be a finite number, at least 0. Received: max_drop={value!r}")
        if name != "max_drop" and not (number and 0 < value < 1):
            raise ValueError(f"`{name}` must be in (0, 1). Received: {name}={value!r}")


def _check_budget(budget: Any, kinds: Sequence[Kind], quantize: Any, model: keras.Model) -> None:
    if quantize not in MODES:
        raise ValueError(f"`quantize` must be one of {list(MODES)}. Received: quantize={quantize!r}")
    if budget is None:
        return
    if not isinstance(budget, Budget):
        raise TypeError(f"`budget` must be a Budget. Received: budget={budget!r}")
    helped = shrunk_by_zeros(quantize)
    if "channels" not in kinds and not set(budget.given) <= helped:
        raise ValueError(
            f"Zeros among the weights bring down only {sorted(helped)} with quantize={quantize!r}: add the method "
            f'"channels". Received: budget={budget!r}, methods={list(kinds)}'
        )
    costs_of(model, budget)


def _check_training(data: Any, model: keras.Model) -> None:
    try:
        next(iter(Batches(data, model, with_targets=True)))
    except (ValueError, TypeError) as error:
        raise type(error)(f"`train_data`: {error}") from error


def _training_fingerprint(data: Any, model: keras.Model) -> Any:
    """Of arrays their values; of what makes batches anew, and may augment them, only what it is."""
    if isinstance(data, tuple | list):
        return data_fingerprint(Batches(data, model, with_targets=True))
    return type(data).__name__


def _guess(evaluation: Evaluation, running: keras.Model, train_data: Any) -> float:
    """About how long an epoch takes at least, in seconds: twice as long as an evaluation for each sample."""
    if not isinstance(train_data, tuple):
        return 0.0
    start = time.monotonic()
    evaluation.of(running)  # compiled by now
    seconds = time.monotonic() - start
    samples = sum(len(keras.tree.flatten(batch)[0]) for batch in evaluation.batches)
    return 2 * seconds * len(keras.tree.flatten(train_data)[0]) / samples
