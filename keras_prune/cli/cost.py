"""`cost`: parameters, multiply-accumulates and memory of a model."""

import argparse
from typing import Any

from keras_prune.cli.command import add_command
from keras_prune.cli.options import add_model, model_of
from keras_prune.cli.results import Result


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "cost",
        run,
        "Count parameters, MACs and the memory of activations layer by layer.",
        "MACs are the multiply-accumulates of one forward pass. `inspect` counts the same\nin a .tflite file.",
        example="keras-prune cost model.keras",
    )
    add_model(parser)


def run(args: argparse.Namespace) -> Result:
    model = model_of(args)
    from keras_prune.costs.model_cost import cost

    return Result(cost(model))
