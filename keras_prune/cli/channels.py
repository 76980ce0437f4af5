"""`channels`: the channel groups of a model, or its removable layers."""

import argparse
from typing import TYPE_CHECKING, Any

from keras_prune.cli.command import add_command
from keras_prune.cli.options import add_model, model_of
from keras_prune.cli.results import Result

if TYPE_CHECKING:
    from keras_prune.channels import ChannelAnalysis
    from keras_prune.layers import LayerAnalysis


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "channels",
        run,
        "Show the channel groups of a model, and which cannot be pruned, and why.",
        "The channels of a group are removed together. With --layers: the layers and\n"
        "residual branches that can be removed.",
        example="keras-prune channels model.keras\nkeras-prune channels model.keras --layers --json",
    )
    add_model(parser)
    parser.add_argument(
        "--layers", action="store_true", help="show what `prune layers` can remove, in place of channel groups"
    )


def run(args: argparse.Namespace) -> Result:
    model = model_of(args)
    if args.layers:
        from keras_prune.layers import analyze_layers

        layers = analyze_layers(model)
        return Result(layers, values=layer_values(layers))
    from keras_prune.channels import analyze_channels

    channels = analyze_channels(model)
    return Result(channels, values=channel_values(channels))


def channel_values(analysis: "ChannelAnalysis") -> dict[str, Any]:
    """The plain values of an analysis, which also holds the graph of the model."""
    groups = [
        {
            "name": group.name,
            "producers": group.producers,
            "channels": group.size,
            "free": int(group.free.sum()),
            "members": [
                {"layer": member.layer, "weight": member.name, "axis": member.axis, "role": member.role}
                for member in group.members
            ],
            "reasons": sorted(set(filter(None, group.reasons))),
            "inexact": group.inexact,
        }
        for group in analysis.groups
    ]
    return {
        "model": analysis.model,
        "fingerprint": analysis.fingerprint,
        "groups": groups,
        "unknown": analysis.unknown,
    }


def layer_values(analysis: "LayerAnalysis") -> dict[str, Any]:
    """The plain values of an analysis of layers."""
    candidates = [
        {
            "name": each.name,
            "kind": each.kind,
            "layers": each.layers,
            "parameters": each.parameters,
            "macs": each.macs,
            "unranked": each.unranked,
        }
        for each in analysis.candidates
    ]
    return {
        "model": analysis.model,
        "fingerprint": analysis.fingerprint,
        "candidates": candidates,
        "unknown_macs": analysis.costs.unknown,
        "reasons": analysis.reasons,
    }
