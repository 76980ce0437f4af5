"""Structured pruning: removes channels. Labels of channels -> groups -> scores -> plan -> smaller model."""

from keras_prune.channels.carry_out import ChannelChoice, PrunedChannels
from keras_prune.channels.composites import register_composite
from keras_prune.channels.groups import ChannelAnalysis, ChannelGroup, analyze_channels
from keras_prune.channels.iterative import IterativePruning
from keras_prune.channels.plan import ChannelPlan
from keras_prune.channels.prune import prune_channels
from keras_prune.channels.report import ChannelReport, GroupReport
from keras_prune.channels.scores import ChannelImportance
from keras_prune.channels.statistics import ChannelStatistics

__all__ = [
    "ChannelAnalysis",
    "ChannelChoice",
    "ChannelGroup",
    "ChannelImportance",
    "ChannelPlan",
    "ChannelReport",
    "ChannelStatistics",
    "GroupReport",
    "IterativePruning",
    "PrunedChannels",
    "analyze_channels",
    "prune_channels",
    "register_composite",
]
