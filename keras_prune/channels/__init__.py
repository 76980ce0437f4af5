"""Structured pruning: channels that really go away. Labels -> groups -> plan -> rebuilt model."""

from keras_prune.channels.binding import Binding
from keras_prune.channels.budget import Budget
from keras_prune.channels.call import Call, Unsupported
from keras_prune.channels.groups import ChannelAnalysis, ChannelGroup, analyze_channels
from keras_prune.channels.iterative import IterativePruning
from keras_prune.channels.macs import MacsChange
from keras_prune.channels.measure import Reading, Statistics
from keras_prune.channels.plan import ChannelPlan
from keras_prune.channels.prune import ChannelChoice, PrunedChannels, prune_channels
from keras_prune.channels.report import ChannelReport, GroupReport
from keras_prune.channels.rules import register_rule
from keras_prune.channels.scores import ChannelImportance

__all__ = [
    "Binding",
    "Budget",
    "Call",
    "ChannelAnalysis",
    "ChannelChoice",
    "ChannelGroup",
    "ChannelImportance",
    "ChannelPlan",
    "ChannelReport",
    "GroupReport",
    "IterativePruning",
    "MacsChange",
    "PrunedChannels",
    "Reading",
    "Statistics",
    "Unsupported",
    "analyze_channels",
    "prune_channels",
    "register_rule",
]
