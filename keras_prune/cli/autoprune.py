"""`autoprune`: the smallest model that keeps its accuracy, in a folder."""

import argparse
import json
from typing import Any

from keras_prune.cli.command import add_command
from keras_prune.cli.errors import BadInput
from keras_prune.cli.files import InputFile
from keras_prune.cli.options import (
    add_budget,
    add_data,
    add_loss,
    add_metric,
    add_model,
    add_port_types,
    add_verbose,
    budget_of,
    data_of,
    model_of,
    open_fraction,
    positive,
    whole_number,
)
from keras_prune.cli.results import Result

_HELD_OUT = 0.2


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "autoprune",
        run,
        "Prune, fine-tune, export and verify in rounds, as far as the accuracy allows.",
        """Writes journal.json, with each decision, and a .keras and a .tflite file of each
candidate. The same command resumes a run that was stopped. The model is
selected on the validation data: evaluate it on other data. If the goal is not
met, the best candidate is reported, and the exit code is 1.
Needs TensorFlow and LiteRT: pip install tensorflow ai-edge-litert""",
        example="keras-prune autoprune model.keras -o found --data train.npz --metric loss --max-drop 0.5 "
        "--methods weights --budget-params 0.5 --quantize float16 --fine-tune-epochs 1",
    )
    add_model(parser)
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FOLDER",
        help="folder for all results: a new or empty one, or that of the run to resume",
    )
    add_data(parser, "training data", None, required=True)
    parser.add_argument(
        "--validation-data",
        type=InputFile,
        metavar="FILE.npz",
        help="validation data, on which the metric is measured: an .npz file with the keys x_val and y_val, or x and "
        f"y, or x_test and y_test (default: {_HELD_OUT:.0%}% of --data, which are held out)",
    )
    add_metric(parser)
    parser.add_argument(
        "--max-drop",
        type=float,
        default=0.01,
        metavar="D",
        help="largest change of the metric for the worse, in its own units (default: 0.01)",
    )
    add_budget(parser, "nonzero parameters", "quantised as --quantize says", weights=False)
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=("channels", "weights"),
        default=["channels", "weights"],
        help="what to prune: channels, then single weights of the rest (default: channels weights)",
    )
    parser.add_argument(
        "--quantize",
        choices=("none", "float16", "dynamic", "int8", "int16x8"),
        default="int8",
        help="quantization of the .tflite files (default: int8)",
    )
    add_port_types(parser)
    parser.add_argument(
        "--fine-tune-epochs",
        type=whole_number(0),
        default=2,
        metavar="N",
        help="epochs of fine-tuning in each round (default: 2)",
    )
    parser.add_argument(
        "--compensate",
        action="store_true",
        help="fit the layers that read removed channels again before each fine-tuning, on the first 1,024 samples",
    )
    parser.add_argument(
        "--optimizer",
        metavar="NAME",
        help="Keras optimizer for fine-tuning, such as adam (default: that which the model was compiled with, or adam)",
    )
    add_loss(parser)
    parser.add_argument(
        "--batch-size",
        type=whole_number(1),
        default=32,
        metavar="N",
        help="samples in a batch of fine-tuning (default: 32)",
    )
    parser.add_argument(
        "--step",
        type=open_fraction,
        default=0.5,
        metavar="F",
        help="fraction of the remaining weights, or channels, to remove per round, in (0, 1) (default: 0.5)",
    )
    parser.add_argument(
        "--resolution",
        type=open_fraction,
        default=0.2,
        metavar="F",
        help="relative size difference, in (0, 1), between the smallest accepted and the largest rejected model at "
        "which the search ends (default: 0.2)",
    )
    parser.add_argument(
        "--search",
        choices=("greedy", "optuna"),
        default="greedy",
        help="how the per-layer sparsity is chosen: by the sensitivity of each layer, or by trials of Optuna "
        "(default: greedy)",
    )
    parser.add_argument(
        "--trials",
        type=whole_number(1),
        default=30,
        metavar="N",
        help="trials of Optuna in each round, with --search optuna (default: 30)",
    )
    parser.add_argument(
        "--sensitivity-samples",
        type=whole_number(1),
        default=1000,
        metavar="N",
        help="largest number of validation samples for scans of the sensitivity and for trials (default: 1000)",
    )
    parser.add_argument(
        "--time-limit",
        type=positive,
        metavar="SECONDS",
        help="seconds that this command may take (default: no limit)",
    )
    parser.add_argument(
        "--seed", type=whole_number(0), default=0, metavar="N", help="seed of the random numbers (default: 0)"
    )
    add_verbose(parser, "each epoch and evaluation")


def run(args: argparse.Namespace) -> Result:
    model = model_of(args, compile=True)
    import keras

    from keras_prune.automation import autoprune
    from keras_prune.cli.data import load_data
    from keras_prune.cli.models import find_objects

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
            input_type=args.input_type,
            output_type=args.output_type,
            fine_tune_epochs=args.fine_tune_epochs,
            compensate=args.compensate,
            optimizer=args.optimizer,
            loss=args.loss,
            batch_size=args.batch_size,
            step=args.step,
            resolution=args.resolution,
            search=args.search,
            trials=args.trials,
            sensitivity_samples=args.sensitivity_samples,
            time_limit=args.time_limit,
            seed=args.seed,
            verbose=args.verbose,
        )
    values = json.loads(result.to_json())
    values["candidates"] = values.pop("records")
    return Result(result, ok=result.met, written=(result.best.path, result.best.keras_path), values=values)
