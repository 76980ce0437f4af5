"""`summary`, `cost` and `channels`: what is in a model."""

import argparse
from typing import Any

from keras_prune.channels import ChannelAnalysis, analyze_channels
from keras_prune.cli.command import add_command
from keras_prune.cli.options import add_model, model_of
from keras_prune.cli.results import Result
from keras_prune.costs.model_cost import cost
from keras_prune.insight.summary import summary
from keras_prune.layers import LayerAnalysis, analyze_layers


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "summary",
        run_summary,
        "Count the zeros of a model, layer by layer, and say what is masked and what is not.",
        example="keras-prune summary model.keras",
    )
    add_model(parser)
    parser = add_command(
        commands,
        "cost",
        run_cost,
        "Count what a model takes, layer by layer: parameters, multiply-accumulates, memory of activations.",
        "`inspect` counts the same of a .tflite file.",
        example="keras-prune cost model.keras",
    )
    add_model(parser)
    parser = add_command(
        commands,
        "channels",
        run_channels,
        "Show the channels that must go together, and which must stay, and why.",
        "With --layers: the layers and residual branches that can be removed.",
        example="keras-prune channels model.keras\nkeras-prune channels model.keras --layers --json",
    )
    add_model(parser)
    parser.add_argument("--layers", action="store_true", help="show what `prune layers` can remove")


def run_summary(args: argparse.Namespace) -> Result:
    return Result(summary(model_of(args)))


def run_cost(args: argparse.Namespace) -> Result:
    return Result(cost(model_of(args)))


def run_channels(args: argparse.Namespace) -> Result:
    model = model_of(args)
    if args.layers:
        layers = analyze_layers(model)
        return Result(layers, values=layer_values(layers))
    channels = analyze_channels(model)
    return Result(channels, values=channel_values(channels))


def channel_values(analysis: ChannelAnalysis) -> dict[str, Any]:
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


def layer_values(analysis: LayerAnalysis) -> dict[str, Any]:
    """Likewise."""
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
