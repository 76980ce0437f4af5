"""What `prune channels` and `prune layers` share: both write a smaller model, and the plan that made it."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

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
