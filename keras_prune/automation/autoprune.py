"""`autoprune`: from a trained model to one within a budget, or to the smallest one that keeps its accuracy."""

import os
import time
from collections.abc import Sequence
from typing import Any, Literal

import keras

from keras_prune.automation.advice import Settings
from keras_prune.automation.clock import Clock
from keras_prune.automation.folder import check_folder
from keras_prune.automation.goal import Goal, shrunk_by_zeros
from keras_prune.automation.job import Job
from keras_prune.automation.journal import Journal
from keras_prune.automation.methods import costs_of
from keras_prune.automation.result import AutopruneResult, result_of
from keras_prune.automation.search import Pace, Search
from keras_prune.automation.trials import find_optuna
from keras_prune.costs.budget import Budget
from keras_prune.expansion.follow import as_graph
from keras_prune.insight.sensitivity.scan import Kind
from keras_prune.measurement.batches import Batches
from keras_prune.measurement.copies import copy_to_measure
from keras_prune.measurement.evaluation import Evaluation, Mode
from keras_prune.measurement.fingerprint import data_fingerprint, fingerprint, model_fingerprint, named
from keras_prune.measurement.loss import find_loss
from keras_prune.measurement.training import check_optimizer, check_training_data
from keras_prune.reconstruction.refitting.refit import compensation_batches
from keras_prune.reporting.progress import Verbose, verbosity
from keras_prune.validation import check_choice, check_flag, check_fraction, check_number, check_progress, check_step
from tflite_export.conversion.modes import check_port_types

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
    input_type: str | None = None,
    output_type: str | None = None,
    fine_tune_epochs: int = 2,
    compensate: bool = False,
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
    verbose: Verbose = "auto",
) -> AutopruneResult:
    """Make a trained model as small as its accuracy allows: prune, fine-tune, export, verify, and step back.

    Two allocations of the per-layer sparsity are always tried, fine-tuned alike, and the better one is taken: the
    uniform one, as by `prune_channels(model, ratio)` by hand, and a greedy one, which prunes first where a scan
    (`sensitivity`) shows the smallest drop of the metric per saving. Each model is exported as a `.tflite` file, on
    which the metric is measured with the validation data. Of a fine-tuning the best epoch is kept; a constant learning
    rate falls in the second half of the epochs, by half a cosine; what is hopeless ends early.

    With a budget, the goal is the most accurate model within it. The ratio is found by what models cost before they are
    fine-tuned, so nothing is trained on the way. The best candidates are fine-tuned for as long again, and the best one
    once more for as long as all before, if it is not surely within the bound and may come to be. Where none holds, less
    is pruned.

    Without a budget, the goal is the smallest model within the bound. Rounds prune further while the metric holds, and
    step back where it does not, until accepted and rejected models are close together. Channels are pruned first, since
    that makes the model faster; then single weights of the rest, which makes the file smaller after gzip. With two
    methods the first one may use half of `max_drop`, and the second all of it.

    Each metric has a 95% confidence interval: that of a binomial distribution for an accuracy, else a bootstrap over
    blocks of the validation data. Where the bound lies within it, chance may have decided: such a candidate is
    fine-tuned for longer, as is one that would reach it if the epochs to come gained as much as the last ones did. The
    result says whether its goal is met for certain.

    Everything is written to `output`: `journal.json` with every decision and candidate, `sensitivity-*.json`, and a
    `.keras` and a `.tflite` file of each candidate. A run that was killed resumes when the function is called again
    with the same arguments; one that had ended returns at once. The random numbers of Keras are seeded before each
    fine-tuning.

    The model is selected on the validation data: evaluate the result on other data.

    Args:
        model: A built and trained model without masks; see `expand` for those that are no graph. It is not changed.
        train_data: Data for fine-tuning: `(x, y)`, `(x, y, sample_weight)`, or whatever else `fit` takes and that can
            be iterated more than once. With int8 the ranges of activations are from its first 200 samples.
        validation_data: Data on which the metric is measured, in the same forms. They are held in memory.
        output: Folder for all results: a new or empty one, or that of the run to resume.
        max_drop: Largest change of the metric for the worse, in its own units, from that of the model to that of the
            file: 0.01 of an accuracy is one percentage point. Defaults to 0.01.
        metric: As in `sensitivity`. Defaults to the first metric that the model was compiled with, or else the loss.
        mode: `"max"` if the metric should be high, `"min"` if low, `"auto"` to tell by the metric or its name.
            Defaults to `"auto"`.
        budget: Budget of the model, within which the most accurate one is searched for. Of `macs`, `params` (nonzero
            ones), `bytes` (of the `.tflite` file, quantised as `quantize` says) and `latency` (of the file; noisy).
            Fractions are relative to the unpruned model, exported in the same way. Defaults to None: as small as the
            metric allows.
        methods: `"channels"`, `"weights"`, or both: with a budget that zeros help to meet, the more accurate of them.
            Defaults to both.
        quantize: Quantization of the files, as in `tflite_export.export`. Defaults to `"int8"`.
        input_type: The type of the files' inputs, as in `tflite_export.export`: `"int8"`, say, for a microcontroller.
            Defaults to None, `"float32"`.
        output_type: The type of their outputs, likewise.
        fine_tune_epochs: Epochs of fine-tuning of each candidate, at least 0; the best and those near the bound get
            more. Defaults to 2.
        compensate: Whether the layers that read removed channels are fitted again before each fine-tuning, as with
            `compensate` in `prune_channels`, on the first 1,024 samples of `train_data`. It gains most where much is
            removed and few epochs follow; where little is removed, fine-tuning alone may end a little better. Defaults
            to False.
        optimizer: As `compile` takes it. Defaults to a new one with the settings of that which the model was compiled
            with, or Adam. A constant rate falls in the second half of the epochs; a learning rate schedule is left
            as it is, and starts again each time.
        loss: As `compile` takes it. Defaults to that which the model was compiled with.
        batch_size: Batch size of fine-tuning, if `train_data` are arrays. Defaults to 32.
        step: Fraction of the remaining cost that a round removes at first, in (0, 1). Defaults to 0.5.
        resolution: Relative difference, in (0, 1), between the smallest accepted and the largest rejected model at
            which the rounds of a method end. Defaults to 0.2.
        search: How the per-layer sparsity is chosen. `"greedy"`: uniform, and by the sensitivity of each layer alone.
            `"optuna"`: besides these, the best of several allocations by their metric before fine-tuning (Akiba et al.
            2019; extra `optuna`); a resumed run repeats these trials. Defaults to `"greedy"`.
        trials: Allocations that Optuna tries in each round, at least 1. Defaults to 30.
        sensitivity_samples: Largest number of validation samples for scans and trials, at least 1. Defaults to 1000.
        time_limit: Seconds that this call may take: a candidate is begun only if it is expected to end in time, the
            uniform one first. Defaults to None: no limit.
        seed: Seed of the random numbers, at least 0. Defaults to 0.
        verbose: What is printed: 0 nothing, 1 each decision and progress bars of fine-tuning and scans, 2 each
            decision, a line for each epoch and one for each evaluation of a scan; `"auto"` is 1, with bars of scans
            only if they take long. Where output is no terminal, lines stand for bars. Defaults to `"auto"`.

    Returns:
        An `AutopruneResult`; print it. If the goal is not met, it holds the best model that was found, the reason, and
        what to try.

    Raises:
        ValueError: Arguments outside these ranges, data that do not fit the model, a metric that it does not have, no
            loss, a time limit that is too short for a first candidate (what was measured is kept), an `output` that
            cannot be written or holds other files, a model that cannot be written out (see `expand`) or one with masks,
            a budget that none of the methods can meet, or a budget of MACs for a model whose MACs are unknown.
        TypeError: An argument of another type.
        ImportError: What `tflite_export.export` needs is not installed, or Optuna with `search="optuna"`.
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
    clock = Clock(None if time_limit is None else check_number(time_limit, "time_limit", 0, above=True))
    model = as_graph(model)
    kinds = _checked_methods(methods)
    max_drop = check_number(max_drop, "max_drop", 0)
    step, resolution = check_fraction(step, "step", zero=False), check_fraction(resolution, "resolution", zero=False)
    for name, value, least in (
        ("fine_tune_epochs", fine_tune_epochs, 0),
        ("batch_size", batch_size, 1),
        ("trials", trials, 1),
        ("sensitivity_samples", sensitivity_samples, 1),
        ("seed", seed, 0),
    ):
        check_step(value, name, minimum=least)
    if check_choice(search, "search", ("greedy", "optuna")) == "optuna":
        find_optuna()
    _check_budget(budget, kinds, quantize, model)
    check_port_types(quantize, input_type, output_type)
    check_optimizer(optimizer)
    check_flag(compensate, "compensate")
    verbose = check_progress(verbose)
    folder = check_folder(output)
    find_loss(model, loss)
    check_training_data(train_data, "train_data", model)
    running = copy_to_measure(model)[1]
    evaluation = Evaluation(running, model, validation_data, metric, mode, loss)
    tried = trials if search == "optuna" else 0
    settings = named(
        model=model_fingerprint(model),
        train_data=_training_fingerprint(train_data, model),
        validation_data=data_fingerprint(evaluation.batches),
        max_drop=max_drop,
        metric=evaluation.name,
        mode=mode,
        budget=str(budget),
        methods=kinds,
        quantize=quantize,
        fine_tune_epochs=fine_tune_epochs,
        compensate=compensate,
        optimizer=_unnamed(optimizer),
        compiled_optimizer=_unnamed(getattr(model, "optimizer", None)),
        loss=loss,
        batch_size=batch_size,
        step=step,
        resolution=resolution,
        search=search,
        trials=tried,
        sensitivity_samples=sensitivity_samples,
        seed=seed,
        input_type=input_type,
        output_type=output_type,
    )
    guess = 0.0 if time_limit is None else _guess(evaluation, running, train_data) * fine_tune_epochs
    tuning = (optimizer, loss, fine_tune_epochs, batch_size, seed, guess)
    job = Job(model, train_data, evaluation, quantize, *tuning, input_type, output_type, compensate)
    if compensate:
        compensation_batches(model, job.inputs(model))  # what is wrong shows before anything is written
    journal = Journal(folder, fingerprint(settings), evaluation.name, not evaluation.lower_is_better, settings)
    goal = Goal(evaluation, max_drop, budget, quantize)
    say = print if verbose else lambda line: None
    run = Search(job, journal, goal, Pace(step, resolution), sensitivity_samples, tried, clock, say)
    with verbosity(verbose):
        run.run(kinds)
    if run.out_of_time and len(journal.candidates) == 1:
        raise ValueError(
            f"`time_limit` is too short for a first candidate: {run.out_of_time}. What was measured is kept in "
            f"`output`, and a call with more time resumes from it. Received: time_limit={time_limit!r}"
        )
    settings_of_advice = Settings(evaluation.baseline, kinds, quantize, fine_tune_epochs, time_limit)
    return result_of(journal, run, goal, evaluation, settings_of_advice)


def _checked_methods(methods: Any) -> tuple[Kind, ...]:
    listed = list(methods) if isinstance(methods, list | tuple) else []
    if not listed or len(set(listed)) != len(listed) or not set(listed) <= {"channels", "weights"}:
        raise ValueError(f'`methods` must be "channels", "weights" or both, in a list. Received: methods={methods!r}')
    return tuple(sorted(listed))  # channels first: those of a model with masks cannot be traced


def _check_budget(budget: Any, kinds: Sequence[Kind], quantize: Any, model: keras.Model) -> None:
    check_choice(quantize, "quantize", MODES)
    if budget is None:
        return
    if not isinstance(budget, Budget):
        raise TypeError(f"`budget` must be a Budget. Received: budget={budget!r}")
    if budget.weight_bytes is not None:
        raise ValueError(
            f"Candidates of `autoprune` are files: give their size as `Budget(bytes=...)`. Received: budget={budget!r}"
        )
    helped = shrunk_by_zeros(quantize)
    if "channels" not in kinds and not set(budget.given) <= helped:
        raise ValueError(
            f"Zeros among the weights reduce only {sorted(helped)} with quantize={quantize!r}: add the method "
            f'"channels". Received: budget={budget!r}, methods={list(kinds)}'
        )
    costs_of(model, budget)


def _unnamed(thing: Any) -> Any:
    """Return the class and settings of an optimizer without names: Keras numbers them, so they differ in each run."""
    if isinstance(thing, keras.optimizers.Optimizer):
        return type(thing).__name__, _unnamed(thing.get_config())
    if isinstance(thing, dict):
        return {key: _unnamed(each) for key, each in thing.items() if key != "name"}
    return thing


def _training_fingerprint(data: Any, model: keras.Model) -> Any:
    """Return the fingerprint of arrays; the class of what makes its batches again each time, and may augment them."""
    if isinstance(data, tuple | list):
        return data_fingerprint(Batches(data, model, with_targets=True))
    return type(data).__name__


def _guess(evaluation: Evaluation, running: keras.Model, train_data: Any) -> float:
    """Return about the least time of an epoch, in seconds: for each sample, twice the time of an evaluation."""
    if not isinstance(train_data, tuple):
        return 0.0
    start = time.monotonic()
    evaluation.of(running)  # compiled by now
    seconds = time.monotonic() - start
    samples = sum(len(keras.tree.flatten(batch)[0]) for batch in evaluation.batches)
    return 2 * seconds * len(keras.tree.flatten(train_data)[0]) / samples
