"""`prune`: the three sorts of pruning, each a command of its own."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_prune.channels import ChannelPlan, prune_channels
from keras_prune.cli.command import add_command
from keras_prune.cli.errors import BadInput
from keras_prune.cli.options import (
    SAMPLES,
    add_budget,
    add_data,
    add_loss,
    add_model,
    add_output,
    budget_of,
    data_of,
    fraction,
    model_of,
    pattern_value,
    target_of,
    whole_number,
)
from keras_prune.cli.prune_weights import add_weights
from keras_prune.cli.results import Result
from keras_prune.layers import LayerPlan, prune_layers


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "prune",
        None,
        "Prune a trained model at once: single weights, channels or whole layers.",
        "None of this trains: train the model on, or let `autoprune` do it all.",
        example="keras-prune prune channels model.keras -o small.keras --ratio 0.5",
    )
    kinds = parser.add_subparsers(title="what to prune", required=True, metavar="KIND")
    add_weights(kinds)
    _add_channels(kinds)
    _add_layers(kinds)


def _add_channels(kinds: Any) -> None:
    parser = add_command(
        kinds,
        "channels",
        run_channels,
        "Remove filters, units and heads: a physically smaller model, not compiled.",
        "How much goes: --ratio, --ratios, a budget, or a plan that was saved.",
        example="keras-prune prune channels model.keras -o small.keras --budget-macs 0.5 --ratios 'conv1=none'\n"
        "keras-prune prune channels model.keras -o small.keras --overwrite --ratio 0.25 "
        "--importance taylor --data train.npz --loss sparse_categorical_crossentropy",
    )
    _add_common(parser)
    parser.add_argument("--ratio", type=fraction, help="fraction of the channels to remove, in [0, 1)")
    parser.add_argument(
        "--ratios",
        type=pattern_value,
        action="append",
        default=[],
        metavar="PATTERN=RATIO",
        help="other fractions for the channels of these layers, or none: they stay; may be repeated",
    )
    parser.add_argument(
        "--scope", choices=("group", "global", "isomorphic"), default="group", help="which channels compete"
    )
    count = whole_number(1)
    parser.add_argument("--round-to", type=count, default=1, metavar="N", help="keep a multiple of N channels")
    parser.add_argument("--min-channels", type=count, default=1, metavar="N", help="keep at least N channels")
    parser.add_argument(
        "--max-ratio", type=fraction, default=0.9, metavar="F", help="remove at most this fraction of a group"
    )
    parser.add_argument(
        "--recalibrate", action="store_true", help="estimate the statistics of BatchNormalization anew, on --data"
    )
    parser.add_argument("--strict", action="store_true", help="fail if an operation has no rule")


def _add_layers(kinds: Any) -> None:
    parser = add_command(
        kinds,
        "layers",
        run_layers,
        "Remove whole layers and residual branches: a smaller model, not compiled.",
        "What goes: --names, --ratio, a budget, or a plan that was saved. `channels --layers` shows what can.",
        example="keras-prune prune layers residual.keras -o small.keras --ratio 0.5\n"
        "keras-prune prune layers residual.keras -o small.keras --overwrite --names 'block*'",
    )
    _add_common(parser)
    parser.add_argument(
        "--names", action="append", metavar="PATTERN", help="remove these layers or branches; may be repeated"
    )
    parser.add_argument("--ratio", type=fraction, help="fraction of the candidates to remove, in [0, 1)")


def _add_common(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_output(parser, ".keras")
    add_budget(parser)
    parser.add_argument("--importance", default="l2", metavar="NAME", help="how they are scored (default: l2)")
    add_data(parser, "what an importance is measured on", SAMPLES)
    add_loss(parser)
    parser.add_argument("--plan", metavar="FILE.json", help="replay this plan")
    parser.add_argument("--save-plan", metavar="FILE.json", help="write what went, as a plan")


def run_channels(args: argparse.Namespace) -> Result:
    if args.recalibrate and args.data is None:
        raise BadInput("--recalibrate needs --data. Received: no --data")

    def prune(model: Any, data: Any, plan: Any) -> Any:
        return prune_channels(
            model,
            args.ratio,
            budget=budget_of(args),
            ratios=dict(args.ratios),
            importance=args.importance,
            scope=args.scope,
            round_to=args.round_to,
            min_channels=args.min_channels,
            max_ratio=args.max_ratio,
            data=None if data is None else data.pair,
            loss=args.loss,
            recalibrate=data.x if args.recalibrate else None,
            strict=args.strict,
            plan=plan,
        )

    return _run(args, ChannelPlan.load, prune)


def run_layers(args: argparse.Namespace) -> Result:
    def prune(model: Any, data: Any, plan: Any) -> Any:
        return prune_layers(
            model,
            args.names,
            ratio=args.ratio,
            budget=budget_of(args),
            importance=args.importance,
            data=None if data is None else data.pair,
            loss=args.loss,
            plan=plan,
        )

    return _run(args, LayerPlan.load, prune)


def _run(args: argparse.Namespace, load: Callable[[str], Any], prune: Callable[[Any, Any, Any], Any]) -> Result:
    """What removing channels and removing layers have in common."""
    target = target_of(args, ".keras")
    plan_target = target_of(args, ".json", args.save_plan) if args.save_plan else None
    if args.plan is not None and not Path(args.plan).is_file():
        raise BadInput(f"There is no such file. Received: {args.plan!r}")
    plan = None if args.plan is None else load(args.plan)
    model = model_of(args, compile=args.data is not None and args.loss is None)
    result = prune(model, data_of(args, model), plan)
    written = [target.write(result.model.save)]
    if plan_target is not None:
        written.append(plan_target.write(result.plan.save))
    return Result(result.report, written=tuple(written))
