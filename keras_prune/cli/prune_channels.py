"""`prune channels`: a model with fewer filters, units and heads."""

import argparse
from typing import Any

from keras_prune.cli.command import add_command
from keras_prune.cli.errors import BadInput
from keras_prune.cli.options import budget_of, fraction, pattern_value, whole_number
from keras_prune.cli.removal import add_common, add_compensate, check_compensate, compensate_of, run_removal
from keras_prune.cli.results import Result
from keras_prune.importance import names

SCOPES = ("group", "global", "isomorphic")  # as `keras_prune.channels` has them; that needs Keras, and tests compare


def add_to(kinds: Any) -> None:
    parser = add_command(
        kinds,
        "channels",
        run,
        "Remove filters, units and heads: a physically smaller model, not compiled.",
        "How many to remove: --ratio, --ratios, a budget, a threshold, or a saved plan.",
        example="keras-prune prune channels model.keras -o small.keras --budget-macs 0.5 --ratios 'conv1=none'\n"
        "keras-prune prune channels model.keras -o small.keras --overwrite --ratio 0.25 "
        "--importance taylor --data train.npz --loss sparse_categorical_crossentropy",
    )
    parser.add_argument(
        "--ratio", type=fraction, metavar="F", help="fraction of the channels to remove, in [0, 1) (default: none)"
    )
    parser.add_argument(
        "--ratios",
        type=pattern_value,
        action="append",
        default=[],
        metavar="PATTERN=F",
        help="fraction of the channels to remove from the layers that match PATTERN, or `none` to keep all of them; "
        "may be repeated (default: --ratio for every layer)",
    )
    add_common(parser, names("channels"))
    parser.add_argument(
        "--scope",
        choices=SCOPES,
        default="group",
        help="which channels are ranked together: those of one group, of all groups, or of groups with the same "
        "structure (default: group)",
    )
    count = whole_number(1)
    parser.add_argument(
        "--round-to",
        type=count,
        default=1,
        metavar="N",
        help="multiple to which the number of channels kept in each group is rounded (default: 1)",
    )
    parser.add_argument(
        "--min-channels", type=count, default=1, metavar="N", help="least channels to keep in each group (default: 1)"
    )
    parser.add_argument(
        "--max-ratio",
        type=fraction,
        default=0.9,
        metavar="F",
        help="highest fraction of the channels of a group to remove (default: 0.9)",
    )
    parser.add_argument(
        "--recalibrate",
        action="store_true",
        help="estimate the statistics of BatchNormalization again, on --data, after pruning",
    )
    add_compensate(parser, weights=True)
    parser.add_argument(
        "--keep-classes",
        action="store_true",
        help="write a model of the same class with smaller sizes, in place of a model that is written out as a graph",
    )
    parser.add_argument("--strict", action="store_true", help="fail if an operation of the model has no rule")


def run(args: argparse.Namespace) -> Result:
    if args.recalibrate and args.data is None:
        raise BadInput("--recalibrate needs --data. Received: no --data")
    check_compensate(args)

    def load(path: str) -> Any:
        from keras_prune.channels import ChannelPlan

        return ChannelPlan.load(path)

    def prune(model: Any, data: Any, plan: Any) -> Any:
        from keras_prune.channels import prune_channels

        return prune_channels(
            model,
            args.ratio,
            budget=budget_of(args),
            ratios=dict(args.ratios),
            threshold=args.threshold,
            importance=args.importance,
            scope=args.scope,
            round_to=args.round_to,
            min_channels=args.min_channels,
            max_ratio=args.max_ratio,
            data=None if data is None else data.pair,
            loss=args.loss,
            recalibrate=data.x if args.recalibrate else None,
            compensate=compensate_of(args, model, data),
            strict=args.strict,
            keep_classes=args.keep_classes,
            plan=plan,
        )

    return run_removal(args, load, prune)
