"""`autoprune`: the smallest model that holds its accuracy, in a folder."""

import argparse
from typing import Any

import keras

from keras_prune.automation import autoprune
from keras_prune.cli.command import add_command
from keras_prune.cli.data import load_data
from keras_prune.cli.errors import BadInput
from keras_prune.cli.models import find_objects
from keras_prune.cli.options import (
    add_budget,
    add_data,
    add_loss,
    add_metric,
    add_model,
    budget_of,
    data_of,
    fraction,
    model_of,
    positive,
    whole_number,
)
from keras_prune.cli.results import Result, plain

_HELD_OUT = 0.2


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "autoprune",
        run,
        "Make a trained model as small as its accuracy allows: prune, train, export, check, step back.",
        """The folder gets journal.json, with each decision, and a .keras and a .tflite file of each candidate.
A run that was stopped goes on when it is called again in the same way. The metric is held on the
validation data, by which the model is chosen: judge it on other data. If the goal is not met, the
best that was found is there, and the exit code is 1. Needs TensorFlow and LiteRT:
pip install keras-prune[tflite]""",
        example="keras-prune autoprune model.keras -o found --data train.npz --metric loss --max-drop 0.5 "
        "--methods weights --budget-params 0.5 --quantize float16 --fine-tune-epochs 1",
    )
    add_model(parser)
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FOLDER",
        help="a new or empty folder, or that of the run to go on with",
    )
    add_data(parser, "what is trained on", None, required=True)
    parser.add_argument(
        "--validation-data",
        metavar="FILE.npz",
        help="what the metric is measured on; keys x_val and y_val, or x and y, or x_test and y_test "
        f"(default: {_HELD_OUT:.0%}% of --data, which are not trained on)",
    )
    add_metric(parser)
    parser.add_argument(
        "--max-drop", type=float, default=0.01, metavar="D", help="how much worse it may be, in its own units (0.01)"
    )
    add_budget(parser, "parameters that are not zero", "bytes of the .tflite file")
    parser.add_argument("--methods", nargs="+", choices=("channels", "weights"), default=["channels", "weights"])
    parser.add_argument(
        "--quantize",
        choices=("none", "float16", "dynamic", "int8", "int16x8"),
        default="int8",
        help="how files are written (default: int8)",
    )
    parser.add_argument("--fine-tune-epochs", type=whole_number(0), default=2, metavar="N", help="of each round (2)")
    parser.add_argument("--optimizer", metavar="NAME", help="default: as the model was compiled, or adam")
    add_loss(parser)
    parser.add_argument("--batch-size", type=whole_number(1), default=32, metavar="N", help="of the training (32)")
    parser.add_argument(
        "--step", type=fraction, default=0.5, metavar="F", help="what a round takes of what is left (0.5)"
    )
    parser.add_argument("--resolution", type=fraction, default=0.2, metavar="F", help="how closely to search (0.2)")
    parser.add_argument(
        "--search",
        choices=("greedy", "optuna"),
        default="greedy",
        help="how much of each layer goes: by its sensitivity, or by trials of Optuna (default: greedy)",
    )
    parser.add_argument("--trials", type=whole_number(1), default=30, metavar="N", help="of Optuna in each round (30)")
    parser.add_argument("--time-limit", type=positive, metavar="SECONDS", help="how long this call may take")
    parser.add_argument("--seed", type=whole_number(0), default=0, metavar="N", help="of the random numbers (0)")


def run(args: argparse.Namespace) -> Result:
    model = model_of(args, compile=True)
    train = data_of(args, model, targets=True)
    if train is None:
        raise BadInput("Training needs --data. Received: none")
    if args.validation_data is None:
        train, validation = train.parts(_HELD_OUT)
    else:
        validation = load_data(
            args.validation_data, model, x_key=args.x_key, y_key=args.y_key, split="validation", targets=True
        )
    with keras.saving.custom_object_scope(find_objects(args.custom_objects)):  # candidates are loaded again
        result = autoprune(
            model,
            train.pair,
            validation.pair,
            output=args.output,
            max_drop=args.max_drop,
            metric=args.metric,
            mode=args.mode,
            budget=budget_of(args),
            methods=args.methods,
            quantize=None if args.quantize == "none" else args.quantize,
            fine_tune_epochs=args.fine_tune_epochs,
            optimizer=args.optimizer,
            loss=args.loss,
            batch_size=args.batch_size,
            step=args.step,
            resolution=args.resolution,
            search=args.search,
            trials=args.trials,
            time_limit=args.time_limit,
            seed=args.seed,
        )
    values = {
        "best": plain(result.best),
        "met": result.met,
        "limit": result.limit,
        "metric": result.front.metric,
        "baseline": result.baseline,
        "bound": result.bound,
        "candidates": result.front.records,
        "decisions": [plain(each) for each in result.decisions],
    }
    return Result(result, ok=result.met, written=(result.best.path, result.best.keras_path), values=values)
