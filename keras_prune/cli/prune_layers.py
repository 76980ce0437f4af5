"""`prune layers`: a model with fewer layers and residual branches."""

import argparse
from typing import Any

from keras_prune.cli.command import add_command
from keras_prune.cli.options import budget_of, fraction
from keras_prune.cli.removal import add_common, add_compensate, check_compensate, compensate_of, run_removal
from keras_prune.cli.results import Result

# As `keras_prune.layers.scores` has them; that needs Keras, and tests compare.
CRITERIA = ("activation_change", "block_influence", "l1", "l2", "loss_change", "random")
UNITS = ("branches", "blocks")


def add_to(kinds: Any) -> None:
    parser = add_command(
        kinds,
        "layers",
        run,
        "Remove whole layers and residual branches: a smaller model, not compiled.",
        "What to remove: --names, --ratio, a budget, a threshold, or a saved plan.\n"
        "`channels --layers` shows the candidates.",
        example="keras-prune prune layers residual.keras -o small.keras --ratio 0.5\n"
        "keras-prune prune layers residual.keras -o small.keras --overwrite --names 'block*'",
    )
    parser.add_argument(
        "--names",
        action="append",
        metavar="PATTERN",
        help="layers or residual branches to remove, whatever their importance; may be repeated (default: none)",
    )
    parser.add_argument(
        "--ratio",
        type=fraction,
        metavar="F",
        help="fraction of the candidates to remove, in [0, 1), the least important first (default: none)",
    )
    parser.add_argument(
        "--units",
        choices=UNITS,
        default="branches",
        help="what a ratio, budget or threshold chooses from: residual branches, or whole blocks of custom layers "
        "(default: branches)",
    )
    add_common(parser, CRITERIA)
    add_compensate(parser, weights=False)


def run(args: argparse.Namespace) -> Result:
    check_compensate(args)

    def load(path: str) -> Any:
        from keras_prune.layers import LayerPlan

        return LayerPlan.load(path)

    def prune(model: Any, data: Any, plan: Any) -> Any:
        from keras_prune.layers import prune_layers

        return prune_layers(
            model,
            args.names,
            ratio=args.ratio,
            budget=budget_of(args),
            threshold=args.threshold,
            units=args.units,
            importance=args.importance,
            data=None if data is None else data.pair,
            loss=args.loss,
            plan=plan,
            compensate=compensate_of(args, model, data),
        )

    return run_removal(args, load, prune)
