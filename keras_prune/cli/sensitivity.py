"""`sensitivity`: the metric as a function of the sparsity of each layer."""

import argparse
from typing import Any

from keras_prune.cli.command import add_command
from keras_prune.cli.errors import BadInput
from keras_prune.cli.options import (
    add_data,
    add_loss,
    add_metric,
    add_model,
    add_verbose,
    data_of,
    measurable,
    model_of,
    one_of,
    open_fraction,
    target_of,
    whole_number,
)
from keras_prune.cli.results import Result, plain

_SAMPLES = 1024


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "sensitivity",
        run,
        "Measure how a metric changes when one layer, or channel group, alone is pruned.",
        "Nothing is fine-tuned. With --max-drop: the highest fraction that can be pruned\n"
        "from each alone, for --targets or --ratios of `prune`.",
        example="keras-prune sensitivity model.keras --data train.npz --ratios 0.5 0.9 --max-drop 0.05\n"
        "keras-prune sensitivity model.keras --data train.npz --kind channels --ratios 0.5 --cache scan.json",
    )
    add_model(parser)
    add_data(parser, "samples on which the metric is measured", _SAMPLES, required=True)
    add_loss(parser)
    parser.add_argument(
        "--kind",
        choices=("weights", "channels"),
        default="weights",
        help="prune single weights of a layer, or channels of a group (default: weights)",
    )
    parser.add_argument(
        "--ratios",
        type=open_fraction,
        nargs="+",
        metavar="F",
        help="fractions to prune, each in (0, 1) (default: 0.1 to 0.9 in steps of 0.1)",
    )
    add_metric(parser)
    criteria = {kind: measurable(kind) for kind in ("weights", "channels")}
    parser.add_argument(
        "--importance",
        type=one_of(list(dict.fromkeys([*criteria["weights"], *criteria["channels"]]))),
        metavar="NAME",
        help=f"importance criterion. Of weights: {', '.join(criteria['weights'])}. "
        f"Of channels: {', '.join(criteria['channels'])} (default: magnitude, or l2 for channels)",
    )
    parser.add_argument(
        "--layers",
        nargs="+",
        metavar="PATTERN",
        help="names or patterns of the layers to measure (default: all that can be pruned)",
    )
    parser.add_argument(
        "--max-drop",
        type=float,
        metavar="D",
        help="largest change of the metric for the worse, in its own units: show the highest fraction within it "
        "(default: show the curves only)",
    )
    parser.add_argument(
        "--batch-size", type=whole_number(1), default=256, metavar="N", help="samples in a batch (default: 256)"
    )
    parser.add_argument(
        "--cache",
        metavar="FILE.json",
        help="file of measured values: they are read from it, and new ones are written to it (default: none)",
    )
    parser.add_argument(
        "--plot", metavar="FILE.png", help="draw the curves to this file; needs matplotlib (default: none)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a drawing that exists")
    add_verbose(parser, "each evaluation")


def run(args: argparse.Namespace) -> Result:
    target = target_of(args, ".png", args.plot) if args.plot else None
    if args.max_drop is not None and not args.max_drop >= 0:
        raise BadInput(f"--max-drop must be a number, at least 0. Received: {args.max_drop}")
    model = model_of(args, compile=True)
    from keras_prune.insight.sensitivity.scan import RATIOS, sensitivity

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
        batch_size=args.batch_size,
        cache=args.cache,
        verbose=args.verbose,
    )
    written = () if target is None else (target.write(lambda path: found.plot().figure.savefig(path)),)
    if args.max_drop is None:
        return Result(found, written=written)
    highest = found.highest(args.max_drop)
    lines = [f"  {name}: {ratio:g}" for name, ratio in highest.items()]
    head = f"Highest fraction of each alone with a drop of at most {args.max_drop:g}:"
    text = "\n".join([str(found), head, *lines])
    return Result(text, written=written, values={**plain(found), "highest": highest})
