from . import (
    automation as automation,
)
from . import (
    callbacks as callbacks,
)
from . import (
    channels as channels,
)
from . import (
    clustering as clustering,
)
from . import (
    costs as costs,
)
from . import (
    expansion as expansion,
)
from . import (
    importance as importance,
)
from . import (
    insight as insight,
)
from . import (
    layers as layers,
)
from . import (
    legacy as legacy,
)
from . import (
    masking as masking,
)
from . import (
    measurement as measurement,
)
from . import (
    patterns as patterns,
)
from . import (
    plots as plots,
)
from . import (
    schedules as schedules,
)
from . import (
    selection as selection,
)
from . import (
    tfmot as tfmot,
)
from . import (
    tracing as tracing,
)
from . import (
    weights as weights,
)
from .automation.autoprune import autoprune as autoprune
from .callbacks import (
    AtomicBackup as AtomicBackup,
)
from .callbacks import (
    HoldAccuracy as HoldAccuracy,
)
from .callbacks import (
    PruningBoard as PruningBoard,
)
from .callbacks import (
    PruningSchedule as PruningSchedule,
)
from .callbacks import (
    SparseCheckpoint as SparseCheckpoint,
)
from .channels import (
    ChannelImportance as ChannelImportance,
)
from .channels import (
    IterativePruning as IterativePruning,
)
from .channels import (
    analyze_channels as analyze_channels,
)
from .channels import (
    prune_channels as prune_channels,
)
from .clustering import cluster_weights as cluster_weights
from .costs import Budget as Budget
from .costs import cost as cost
from .expansion.expand import expand as expand
from .insight.comparison.compare import compare as compare
from .insight.comparison.methods import compare_methods as compare_methods
from .insight.explain.explain import explain as explain
from .insight.sensitivity.scan import sensitivity as sensitivity
from .insight.summary import summary as summary
from .layers import analyze_layers as analyze_layers
from .layers import prune_layers as prune_layers
from .legacy import load_legacy as load_legacy
from .masking import (
    apply_masks as apply_masks,
)
from .masking import (
    register_prunable as register_prunable,
)
from .masking import (
    stateless_apply_masks as stateless_apply_masks,
)
from .masking import (
    strip_pruning as strip_pruning,
)
from .masking import (
    wrap_pruning as wrap_pruning,
)
from .schedules import (
    ConstantSparsity as ConstantSparsity,
)
from .schedules import (
    CosineDecay as CosineDecay,
)
from .schedules import (
    ExponentialDecay as ExponentialDecay,
)
from .schedules import (
    PolynomialDecay as PolynomialDecay,
)
from .schedules import (
    StepDecay as StepDecay,
)
from .selection import (
    LITERT_1X4 as LITERT_1X4,
)
from .selection import (
    LITERT_1X16 as LITERT_1X16,
)
from .selection import (
    Block as Block,
)
from .selection import (
    MeanThreshold as MeanThreshold,
)
from .selection import (
    NByM as NByM,
)
from .selection import (
    Percentile as Percentile,
)
from .selection import (
    RelativeThreshold as RelativeThreshold,
)
from .selection import (
    StdThreshold as StdThreshold,
)
from .selection import (
    Threshold as Threshold,
)
from .tracing import register_rule as register_rule
from .weights import (
    SET as SET,
)
from .weights import (
    IterativeMagnitude as IterativeMagnitude,
)
from .weights import (
    RewindPoint as RewindPoint,
)
from .weights import (
    RigL as RigL,
)
from .weights import (
    copy_masks as copy_masks,
)
from .weights import (
    layer_errors as layer_errors,
)
from .weights import (
    prune_weights as prune_weights,
)
from .weights import (
    refit as refit,
)

__version__: str
