"""`prune_channels`: a smaller model, the plan behind it, and a report."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_prune.channels.carry_out import PrunedChannels
from keras_prune.channels.limits import Scope
from keras_prune.channels.plan import ChannelPlan
from keras_prune.channels.request import ChannelRequest
from keras_prune.channels.same_classes import carry_out
from keras_prune.channels.scores import ChannelImportance, Score
from keras_prune.costs.budget import Budget
from keras_prune.selection.thresholds import ThresholdRule


def prune_channels(
    model: keras.Model,
    ratio: float | None = None,
    *,
    budget: Budget | None = None,
    ratios: Mapping[str, float | None] | None = None,
    threshold: float | ThresholdRule | None = None,
    importance: str | Score | ChannelImportance = "l2",
    scope: Scope = "group",
    round_to: int = 1,
    min_channels: int = 1,
    max_ratio: float = 0.9,
    data: Any = None,
    loss: Any = None,
    recalibrate: Any = None,
    compensate: Any = None,
    strict: bool = False,
    plan: ChannelPlan | None = None,
    keep_classes: bool = False,
) -> PrunedChannels:
    """Remove filters, units, heads and embedding dimensions, together with everything that depends on them.

    Channels that depend on each other, because tensors are added or weights shared, are removed together. Where an
    operation has no rule (`register_rule`), the channels that reach it are kept, and the report says so. The smaller
    model computes what the original computes with zeros in the weights that read the removed channels, except where the
    report marks a group inexact.

    Args:
        model: A built model. It is not changed. What is no graph is written out first: see `expand`.
        ratio: Fraction of the channels to remove, in [0, 1). Half of the channels of every group leaves about a
            quarter of the parameters. Defaults to None: no channels except those that `ratios` names.
        budget: What the smaller model may cost instead, such as `Budget(macs=0.5)`: as few channels as possible are
            removed. Defaults to None.
        ratios: Other fractions, by pattern of the layers that make the channels, or of one kind of their channels,
            such as `"*attention*:num_heads"`; None: they are kept. The input
            channels of such a layer are not affected. Groups with their own ratio are not part of `scope`. Defaults to
            None: no others.
        threshold: The score below which channels are removed instead: a number, in units of the scores;
            `RelativeThreshold(0.1)`, a tenth of the largest score; or `MeanThreshold(1.0)`, one standard deviation
            below the mean score. The largest and the mean are those of the groups that `scope` ranks together. The
            scores of criteria that are not comparable, such as `"l2"`, are about 1 on average; with
            `ChannelImportance("l2", normalize="none")` they are the norms themselves. `min_channels`, `max_ratio` and
            `round_to` still hold. Defaults to None.
        importance: How channels are scored: a name, a function, or a `ChannelImportance`, which has the formulas.
            `"loss_change"` evaluates the model once for each channel. Defaults to `"l2"`.
            Of the weights alone: `"l2"`, `"l1"`, `"lamp"`, `"fpgm"`, `"batch_norm_scale"`, `"random"`.
            With data: `"wanda"`, `"activation_weight"`, `"mean_activation"`, `"apoz"`, `"entropy"`, `"reconstruction"`.
            With data and a loss: `"taylor"`, `"snip"`, `"fisher"`, `"loss_change"`.
        scope: Which channels are ranked together: `"group"` removes the same fraction from each group; `"global"` ranks
            the channels of all groups; `"isomorphic"` those of groups of the same structure (Fang et al. 2024), so that
            layers of another kind, whose scores mean something else, do not compete. Defaults to `"group"`.
        round_to: Keep a multiple of this many channels in each group; 8 suits most hardware. Defaults to 1.
        min_channels: Keep at least this many channels in each group. Defaults to 1.
        max_ratio: Remove at most this fraction of each group. Defaults to 0.9.
        data: What a criterion that needs data is measured on: arrays `x` or `(x, y)`, in batches of 32, or batches of
            them that can be read more than once (a list, a `tf.data.Dataset`, a `PyDataset`, a torch `DataLoader`). A
            few hundred samples suffice. The model runs as in inference, on a copy. Defaults to None.
        loss: The loss of criteria that need one, as `compile` takes it. Defaults to None: the one that the model was
            compiled with.
        recalibrate: Inputs (in a form that `data` may have) on which the BatchNormalization statistics of the smaller
            model are estimated again, before any fine-tuning: a cheap gain. Layers that are not trainable keep theirs.
            With inputs for `compensate` too, those of the original are estimated (on a copy) before the layers are
            fitted to it. Defaults to None: all keep theirs.
        compensate: Inputs (in a form that `data` may have; no targets) on which what is left takes over the work of the
            removed channels, without training: layer by layer, by least squares, weights and biases are fitted so that
            the layer's outputs come as near as possible to those of the original, or, before a softmax, to its
            probabilities. A thousand samples suffice. The
            report says how near each layer came; layers of other kinds, and those that are not trainable, are left as
            they are. `"weights"`: without inputs, removed channels are merged into those that are kept and most like
            them, by their filters and the statistics of BatchNormalization (Kim et al. 2020, "Neuron Merging"), which
            gains less. Defaults to None: the remaining weights keep their values.
        strict: Raise if some operation has no rule. Defaults to False.
        plan: A plan to replay instead; then no `ratio`, `budget`, `threshold` or `ratios`. Defaults to None.
        keep_classes: Return a model of the same class, with smaller numbers in its configuration, in place of one that
            is written out as a graph: a task of keras_hub that still has `generate` and `save_to_preset`, say. Only
            sizes that `register_composite` names are changed, and blocks that share a number keep equally many
            channels. Defaults to False.

    Returns:
        A `PrunedChannels`: `.model`, `.plan` and `.report`.

    Raises:
        ValueError: A ratio outside [0, 1), conflicting ratios in one group, a threshold that is none, an unknown
            pattern or criterion, a budget that cannot be met (the message says the smallest that can), data that do not
            fit the model, a plan made for another model, an unbuilt model or one that cannot be written out, or, with
            `strict`, an operation without a rule. With `keep_classes`, no class in the model has a rule for composites,
            or none of its sizes can be smaller (the message says why).
        TypeError: `model` is no Keras model, or `budget`, `ratios` or `plan` is of another type.

    Example:

    ```python
    result = prune_channels(model, 0.5)
    print(result.report)
    small = result.model
    small.compile("adam", "mse")
    small.fit(x, y)  # fine-tuning recovers most of what was lost
    weak = prune_channels(model, threshold=RelativeThreshold(0.1))  # filters below a tenth of the largest norm
    ```
    """
    chosen = ratio, budget, ratios, threshold, importance, scope, round_to, min_channels, max_ratio
    return carry_out(model, ChannelRequest(*chosen, data, loss, recalibrate, compensate, strict, plan, keep_classes))
