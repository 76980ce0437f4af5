"""`sensitivity`: which layers can lose much, and which little."""

import argparse
from typing import Any

from keras_prune.cli.command import add_command
from keras_prune.cli.errors import BadInput
from keras_prune.cli.options import add_data, add_loss, add_metric, add_model, data_of, fraction, model_of, target_of
from keras_prune.cli.results import Result, plain
from keras_prune.insight.sensitivity.scan import RATIOS, sensitivity

_SAMPLES = 1024


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "sensitivity",
        run,
        "Measure how a metric falls when a single layer, or group of channels, is pruned, and all others are whole.",
        "Nothing is trained. With --max-drop: how much of each can go alone, for --targets or --ratios of `prune`.",
        example="keras-prune sensitivity model.keras --data train.npz --ratios 0.5 0.9 --max-drop 0.05\n"
        "keras-prune sensitivity model.keras --data train.npz --kind channels --ratios 0.5 --cache scan.json",
    )
    add_model(parser)
    add_data(parser, "what the metric is measured on", _SAMPLES, required=True)
    add_loss(parser)
    parser.add_argument("--kind", choices=("weights", "channels"), default="weights", help="what is pruned")
    parser.add_argument("--ratios", type=fraction, nargs="+", metavar="R", help="fractions (default: 0.1 to 0.9)")
    add_metric(parser)
    parser.add_argument("--importance", metavar="NAME", help="what goes first (default: magnitude, or l2 for channels)")
    parser.add_argument("--layers", nargs="+", metavar="PATTERN", help="try these layers only")
    parser.add_argument(
        "--max-drop", type=float, metavar="D", help="how much worse the metric may be, in its own units"
    )
    parser.add_argument("--cache", metavar="FILE.json", help="keep each number here, and go on from there")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the curves (needs matplotlib)")
    parser.add_argument("--overwrite", action="store_true", help="replace a drawing that exists")


def run(args: argparse.Namespace) -> Result:
    target = target_of(args, ".png", args.plot) if args.plot else None
    if args.max_drop is not None and not args.max_drop >= 0:
        raise BadInput(f"--max-drop must be a number, at least 0. Received: {args.max_drop}")
    model = model_of(args, compile=True)
    data = data_of(args, model, targets=True)
    found = sensitivity(
        model,
        data.pair if data is not None else None,
        kind=args.kind,
        ratios=args.ratios or RATIOS,
        metric=args.metric,
        mode=args.mode,
        importance=args.importance,
        loss=args.loss,
        layers=args.layers,
        cache=args.cache,
    )
    written = () if target is None else (target.write(lambda path: found.plot().figure.savefig(path)),)
    if args.max_drop is None:
        return Result(found, written=written)
    highest = found.highest(args.max_drop)
    lines = [f"  {name}: {ratio:g}" for name, ratio in highest.items()]
    text = "\n".join([str(found), f"Of each alone can go, with a drop of {args.max_drop:g} at most:", *lines])
    return Result(text, written=written, values={**plain(found), "highest": highest})
