"""What `prune_channels` removed less than it was asked to."""

from collections.abc import Mapping

from keras_prune.channels.groups import ChannelAnalysis, ChannelGroup
from keras_prune.channels.plan import ChannelPlan
from keras_prune.channels.ranked_together import GroupThreshold
from keras_prune.channels.request import ChannelRequest
from keras_prune.reporting.unmet import fewer_than_asked, short_list
from keras_prune.validation import part


def shortfall(
    analysis: ChannelAnalysis, plan: ChannelPlan, request: ChannelRequest, thresholds: Mapping[str, GroupThreshold]
) -> tuple[str, ...]:
    """Sentences that say how much less was removed than the ratios, or the threshold, ask for; none if as much was, to
    whole channels.

    A budget is met, or refused. Of a replayed plan nothing is asked but the plan.

    Args:
        analysis: The channels.
        plan: Which of them were removed.
        request: What was asked for.
        thresholds: By name of the group what the threshold is for it; empty if there was none.
    """
    limits, ratio = request.limits, request.ratio or 0.0
    by_threshold = limits.threshold is not None
    asks = ratio or by_threshold or any(request.ratios.values() if request.ratios else ())
    if request.plan is not None or not asks:
        return ()
    own = [group for group in analysis.groups if limits.has_own(group)]
    ranked = [group for group in analysis.groups if not group.frozen and not limits.has_own(group)]
    ratios = {group.name: limits.own(group) or 0.0 for group in own}
    if limits.scope == "group":
        ratios |= {group.name: ratio for group in ranked}

    def removed(groups: list[ChannelGroup]) -> int:
        """Of what there was before the first of several steps."""
        gone = sum(limits.size(group) - group.size for group in groups)
        return gone + sum(len(plan.removed.get(group.name, ())) for group in groups)

    rounding = limits.round_to - 1  # so many channels more are kept where their number is rounded up
    wanted = {group.name: part(ratios.get(group.name, 0.0), limits.size(group)) for group in (*own, *ranked)}
    if by_threshold:
        earlier = {group.name: limits.size(group) - group.size for group in ranked}
        wanted |= {name: earlier[name] + each.below for name, each in thresholds.items()}
    low = [group for group in (*own, *ranked) if removed([group]) < wanted[group.name] - rounding]
    asked, done = sum(wanted.values()), removed(own) + removed(ranked)
    if limits.scope != "group" and not by_threshold:
        asked += part(ratio, sum(map(limits.size, ranked)))
        if asked > done + rounding * len(ranked):
            low = low or ranked
    if low:
        frozen = [f"{group.name!r} ({group.frozen})" for group in low if group.frozen]
        limited = [group.name for group in low if not group.frozen]
        why = [f"No channel can be removed from {', '.join(frozen)}."] if frozen else []
        if limited:
            why.append(
                f"`max_ratio={limits.max_ratio}`, `min_channels={limits.min_channels}` and "
                f"`round_to={limits.round_to}` allow no more of {short_list(limited)}, or no output may be empty."
            )
        return (fewer_than_asked(asked, done, "channels", " ".join(why)),)
    if by_threshold and not any(wanted[group.name] for group in ranked):
        return (f"Nothing was removed by the threshold: {_none_below(thresholds)}.",)
    if done:
        return ()
    reason = "the ratio is less than one channel of each group"
    if not ranked and not own:
        reason = "no group has a channel that can be removed"
    elif rounding and asked:
        reason = f"`round_to={limits.round_to}` keeps what should have been removed"
    return (f"Nothing was removed: {reason}.",)


def _none_below(thresholds: Mapping[str, GroupThreshold]) -> str:
    """Why a threshold removes nothing: the group that comes nearest to it."""
    if not thresholds:
        return "no group has a channel that can be removed"
    name, nearest = min(thresholds.items(), key=lambda each: each[1].lowest - each[1].value)
    return f"no score is below it; that of {name!r} is {nearest.value:.4g}, its lowest score {nearest.lowest:.4g}"
