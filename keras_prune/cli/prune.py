"""`prune`: the family of `prune weights`, `prune channels` and `prune layers`."""

from typing import Any

from keras_prune.cli import prune_channels, prune_layers, prune_weights
from keras_prune.cli.command import add_command


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "prune",
        None,
        "Prune a trained model in one step: weights, channels or whole layers.",
        "The model is not fine-tuned: do that afterwards, or use `autoprune`, which also\nfine-tunes.",
        example="keras-prune prune channels model.keras -o small.keras --ratio 0.5",
    )
    kinds = parser.add_subparsers(title="what to prune", required=True, metavar="KIND")
    for kind in (prune_weights, prune_channels, prune_layers):
        kind.add_to(kinds)
