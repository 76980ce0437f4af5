"""`prune weights`: a model with masks, or with the zeros alone."""

import argparse
import re
from typing import Any

from keras_prune.cli.command import add_command
from keras_prune.cli.errors import BadInput
from keras_prune.cli.files import InputFile
from keras_prune.cli.options import (
    SAMPLES,
    add_budget_limits,
    add_data,
    add_importance,
    add_loss,
    add_model,
    add_output,
    budget_of,
    data_of,
    fraction,
    measurable,
    model_of,
    pattern_value,
    target_of,
)
from keras_prune.cli.removal import THRESHOLDS
from keras_prune.cli.results import Result
from keras_prune.selection import Block, NByM, Percentile, Selection, StdThreshold

_WORDS = ("uniform", "erk", "reconstruction")
_RECONSTRUCTION = 1024  # samples
_THRESHOLDS = {**THRESHOLDS, "std": StdThreshold}


def add_to(kinds: Any) -> None:
    parser = add_command(
        kinds,
        "weights",
        run,
        "Set the least important weights to zero, with masks that hold in training.",
        """The file has masks, and keras_prune is needed to load it; with --strip it is a
plain model with zeros.

selections:
  percentile     prune exactly the fraction --sparsity of each layer (default)
  global         prune exactly the fraction --sparsity of all layers together
  2:4, N:M       keep N weights of each M in a row along the inputs
  4x1, RxC       prune whole blocks of R inputs and C outputs
  threshold=V    prune weights with |w| < V
  relative=V     prune weights with |w| < V times the largest |w| of the layer
  mean=V         prune weights with |w| V standard deviations below its mean
  std=V          prune weights with |w| < V standard deviations of the layer""",
        example="keras-prune prune weights model.keras -o sparse.keras --sparsity 0.8 --targets 'dense=0.5'\n"
        "keras-prune prune weights model.keras -o half.keras --selection 2:4 --targets 'conv1=none' --strip\n"
        "keras-prune prune weights model.keras -o refitted.keras --sparsity 0.8 --targets reconstruction "
        "--reconstruct train.npz\n"
        "keras-prune prune weights model.keras -o scored.keras --sparsity 0.5 --targets erk "
        "--importance taylor --data train.npz --loss sparse_categorical_crossentropy",
    )
    add_model(parser)
    add_output(parser, ".keras")
    parser.add_argument(
        "--sparsity",
        type=fraction,
        metavar="F",
        help="fraction of the weights to prune, in [0, 1) (default: none; needed by percentile, global and RxC)",
    )
    parser.add_argument(
        "--selection",
        type=selection,
        default=Percentile(),
        metavar="RULE",
        help="rule that selects the weights to prune, one of those above (default: percentile)",
    )
    parser.add_argument(
        "--targets",
        type=target,
        action="append",
        default=[],
        metavar="PATTERN=F",
        help="sparsity of the layers that match PATTERN, or `none` not to prune them; may be repeated. Or one word "
        f"that sets the per-layer sparsity: {', '.join(_WORDS)} (default: uniform; reconstruction with a budget)",
    )
    criteria = [*measurable("weights"), "reconstruction"]
    add_importance(parser, criteria, "magnitude, or with --reconstruct reconstruction")
    parser.set_defaults(importance=None)
    parser.add_argument(
        "--reconstruct",
        type=InputFile,
        metavar="FILE.npz",
        help="refit the kept weights so that each layer gives what it gave before, on inputs from this file, with the "
        f"keys of --data; {_RECONSTRUCTION} samples are drawn (default: weights keep their values)",
    )
    parser.add_argument(
        "--recalibrate",
        action="store_true",
        help="with --reconstruct: estimate the statistics of BatchNormalization layers again",
    )
    add_budget_limits(
        parser,
        {
            "macs": "multiply-accumulates with weights that are not zero, in place of --sparsity; needs --reconstruct",
            "params": "parameters that are not zero, likewise",
            "weight-bytes": "bytes of these parameters in memory, likewise",
        },
    )
    parser.add_argument("--prune-frozen", action="store_true", help="prune also weights that are not trainable")
    parser.add_argument("--strip", action="store_true", help="write a plain model, without masks")
    add_data(parser, "samples on which the importance criterion is measured", SAMPLES)
    add_loss(parser)


def run(args: argparse.Namespace) -> Result:
    place = target_of(args, ".keras")
    targets = _targets(args.targets)
    model = model_of(args, compile=args.data is not None and args.loss is None)
    from keras_prune.insight.summary import summary
    from keras_prune.masking.wrapping import strip_pruning
    from keras_prune.weights.prune import prune_weights

    data = data_of(args, model)
    inputs = None
    if args.reconstruct is not None:
        from keras_prune.cli.data import load_data

        inputs = load_data(args.reconstruct, model, x_key=args.x_key, samples=_RECONSTRUCTION).x
    pruned = prune_weights(
        model,
        args.sparsity,
        budget=budget_of(args),
        selection=args.selection,
        importance=args.importance,
        targets=targets,
        prune_frozen=args.prune_frozen,
        data=None if data is None else data.pair,
        loss=args.loss,
        reconstruct=inputs,
        recalibrate=args.recalibrate,
    )
    report = summary(pruned)
    if args.strip:
        pruned = strip_pruning(pruned)
    return Result(report, written=(place.write(pruned.save),))


def selection(text: str) -> Selection:
    """Read a selection, as the help describes them."""
    name, sign, value = text.partition("=")
    try:
        if text == "percentile":
            return Percentile()
        if text == "global":
            return Percentile("global")
        if found := re.fullmatch(r"(\d+):(\d+)", text):
            return NByM(int(found[1]), int(found[2]))
        if found := re.fullmatch(r"(\d+)x(\d+)", text):
            return Block((int(found[1]), int(found[2])))
        if sign and name in _THRESHOLDS:
            return _THRESHOLDS[name](float(value))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}" if "Received: " in f"{error}" else _allowed(text)) from None
    raise argparse.ArgumentTypeError(_allowed(text))


def _allowed(text: str) -> str:
    return f"must be percentile, global, N:M, RxC, threshold=V, relative=V, mean=V or std=V. Received: {text!r}"


def target(text: str) -> Any:
    """Read one of the words, or a pattern and its sparsity, or what sets that."""
    pattern, _, value = text.rpartition("=")
    if pattern and value in _WORDS[1:]:
        return pattern, value
    return text if text in _WORDS else pattern_value(text)


def _targets(given: list[Any]) -> Any:
    words = [each for each in given if isinstance(each, str)]
    if words and len(given) > 1:
        raise BadInput(f"--targets is one word for all layers, or patterns. Received: {given}")
    return words[0] if words else dict(given)
