"""What `prune channels` and `prune layers` share: both write a smaller model, and the plan that made it."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from keras_prune.cli.errors import BadInput
from keras_prune.cli.files import InputFile
from keras_prune.cli.options import (
    SAMPLES,
    add_budget,
    add_data,
    add_importance,
    add_loss,
    add_model,
    add_output,
    data_of,
    model_of,
    target_of,
)
from keras_prune.cli.output import write_outputs
from keras_prune.cli.results import Result
from keras_prune.selection import MeanThreshold, RelativeThreshold, Threshold
from keras_prune.selection.thresholds import ThresholdRule

THRESHOLDS: dict[str, Callable[[float], ThresholdRule]] = {
    "threshold": Threshold,
    "relative": RelativeThreshold,
    "mean": MeanThreshold,
}

DATA = object()  # `--compensate` alone: on those of `--data`


def add_common(parser: argparse.ArgumentParser, criteria: Sequence[str]) -> None:
    """The options that both have.

    Args:
        parser: Of the command.
        criteria: Names of the importance criteria.
    """
    add_model(parser)
    add_output(parser, ".keras")
    add_budget(parser)
    parser.add_argument(
        "--threshold",
        type=threshold,
        metavar="V",
        help="remove what scores below V, in place of a ratio or a budget: a number, relative=F (F times the largest "
        "score) or mean=K (K standard deviations below the mean score) (default: none)",
    )
    add_importance(parser, criteria, "l2")
    add_data(parser, "samples on which the importance criterion is measured", SAMPLES)
    add_loss(parser)
    parser.add_argument(
        "--plan",
        type=InputFile,
        metavar="FILE.json",
        help="saved plan to replay, in place of a ratio or a budget (default: none)",
    )
    parser.add_argument(
        "--save-plan", metavar="FILE.json", help="file to which the plan of what was removed is written (default: none)"
    )


def add_compensate(parser: argparse.ArgumentParser, weights: bool) -> None:
    """On which inputs what is left takes over the work of what is removed.

    Args:
        parser: Of the command.
        weights: Whether it may be done without any, from the weights alone.
    """
    alone = "; weights: no inputs, channels are merged with similar ones" if weights else ""
    parser.add_argument(
        "--compensate",
        nargs="?",
        const=DATA,
        type=InputFile if not weights else _weights_or_file,
        metavar="weights|FILE.npz" if weights else "FILE.npz",
        help="fit the layers that are left again, without training or targets, on the inputs in FILE.npz, or in --data "
        f"where no file is named{alone} (default: all weights keep their values)",
    )


def compensate_of(args: argparse.Namespace, model: Any, data: Any) -> Any:
    """What to compensate on, as `prune_channels` and `prune_layers` take it.

    Args:
        args: The options.
        model: The model.
        data: Those of `--data`; None: there are none.
    """
    if args.compensate is DATA:
        return data.x
    if not isinstance(args.compensate, InputFile):
        return args.compensate
    from keras_prune.cli.data import load_data

    return load_data(args.compensate, model, samples=args.samples or None).x


def check_compensate(args: argparse.Namespace) -> None:
    """Raise a `BadInput` if `--compensate` needs data that are not there."""
    if args.compensate is DATA and args.data is None:
        raise BadInput("--compensate needs --data, or a file of its own. Received: no --data")


def _weights_or_file(text: str) -> str:
    return text if text == "weights" else InputFile(text)


def threshold(text: str) -> ThresholdRule:
    """Read a threshold of scores, as the help describes it."""
    name, sign, value = text.rpartition("=")
    try:
        return THRESHOLDS[name if sign else "threshold"](float(value))
    except (KeyError, ValueError):
        raise argparse.ArgumentTypeError(
            f"must be a number of at least 0, relative=F or mean=K. Received: {text!r}"
        ) from None


def run_removal(args: argparse.Namespace, load: Callable[[str], Any], prune: Callable[[Any, Any, Any], Any]) -> Result:
    """Load the model, prune it, and write it and its plan.

    Args:
        args: The options.
        load: Loads a plan from a file.
        prune: Of a model, the data and the plan; the last two may be None.
    """
    target = target_of(args, ".keras")
    plan_target = target_of(args, ".json", args.save_plan) if args.save_plan else None
    model = model_of(args, compile=args.data is not None and args.loss is None)
    plan = None if args.plan is None else load(args.plan)
    result = prune(model, data_of(args, model), plan)
    outputs = [(target, result.model.save)]
    if plan_target is not None:
        outputs.append((plan_target, result.plan.save))
    return Result(result.report, written=write_outputs(outputs))
