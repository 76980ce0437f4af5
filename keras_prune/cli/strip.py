"""`strip`: a model of plain Keras layers, without masks."""

import argparse
from typing import Any

from keras_prune.cli.command import add_command
from keras_prune.cli.options import add_model, add_output, model_of, target_of
from keras_prune.cli.results import Result


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "strip",
        run,
        "Remove the masks and keep the zeros: a model of plain Keras layers.",
        "The file needs nothing of this package. Also converts an .h5 file of Keras 2 or\ntfmot to a .keras file.",
        example="keras-prune strip sparse.keras -o plain.keras",
    )
    add_model(parser)
    add_output(parser, ".keras")


def run(args: argparse.Namespace) -> Result:
    target = target_of(args, ".keras")
    model = model_of(args)
    from keras_prune.insight.summary import summary
    from keras_prune.masking.wrapping import strip_pruning

    plain = strip_pruning(model)
    return Result(summary(plain), written=(target.write(plain.save),))
