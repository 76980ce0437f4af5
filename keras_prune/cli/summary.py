"""`summary`: the zeros and masks of a model."""

import argparse
from typing import Any

from keras_prune.cli.command import add_command
from keras_prune.cli.options import add_model, model_of
from keras_prune.cli.results import Result


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "summary",
        run,
        "Count the zeros of a model layer by layer, and show what is masked.",
        example="keras-prune summary model.keras",
    )
    add_model(parser)


def run(args: argparse.Namespace) -> Result:
    model = model_of(args)
    from keras_prune.insight.summary import summary

    return Result(summary(model))
