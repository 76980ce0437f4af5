"""The plots of reports that are plain bars: a function for each kind of result, and one for all of them."""

from typing import Any

from keras_prune.plots.style import check_drawn
from tflite_export.reporting import Report


def plot_report(report: Any, ax: Any = None) -> Any:
    """Draw any result that is a report, of this package or of `tflite_export`, as its own `plot` does.

    Args:
        report: A result that has a `plot`: that of `summary`, `export`, `benchmark` and so on.
        ax: Axes of matplotlib to draw on. Defaults to those of a new figure.

    Returns:
        The axes.

    Raises:
        ImportError: There is no matplotlib.
        TypeError: Something else was passed.

    Example:

    ```python
    plot_report(kp.cost(model))
    ```
    """
    if not isinstance(report, Report):
        raise TypeError(f"`report` must be a result with a `plot`, such as `cost(model)`. Received: report={report!r}")
    return report.plot(ax)


def plot_cost(cost: Any, ax: Any = None) -> Any:
    """Draw what each layer of a model costs: its parameters and multiply-accumulates.

    Args:
        cost: What `cost` returned.
        ax: Axes of matplotlib to draw on. Defaults to those of a new figure.

    Returns:
        The axes.

    Raises:
        ImportError: There is no matplotlib.
        TypeError: Something else was passed.

    Example:

    ```python
    plot_cost(kp.cost(model))
    ```
    """
    return _drawn(cost, "cost", "what `cost` returned", ax, "layers", "weight_bytes")


def plot_expansion(expansion: Any, ax: Any = None) -> Any:
    """Draw how many operations each custom layer became when a model was written out.

    Args:
        expansion: What `kp.expansion.report` returned.
        ax: Axes of matplotlib to draw on. Defaults to those of a new figure.

    Returns:
        The axes.

    Raises:
        ImportError: There is no matplotlib.
        TypeError: Something else was passed.

    Example:

    ```python
    plot_expansion(kp.expansion.report(kp.expand(model)))
    ```
    """
    return _drawn(expansion, "expansion", "what `expansion.report` returned", ax, "layers", "whole")


def plot_layer_errors(errors: Any, ax: Any = None) -> Any:
    """Draw the error of each layer's outputs at some sparsities, after reconstruction.

    Args:
        errors: What `layer_errors` returned.
        ax: Axes of matplotlib to draw on. Defaults to those of a new figure.

    Returns:
        The axes.

    Raises:
        ImportError: There is no matplotlib.
        TypeError: Something else was passed.

    Example:

    ```python
    plot_layer_errors(kp.layer_errors(model, x))
    ```
    """
    return _drawn(errors, "errors", "what `layer_errors` returned", ax, "curves", "sparsities")


def plot_channel_groups(analysis: Any, ax: Any = None) -> Any:
    """Draw how many channels of each group can be removed.

    Args:
        analysis: What `analyze_channels` returned.
        ax: Axes of matplotlib to draw on. Defaults to those of a new figure.

    Returns:
        The axes.

    Raises:
        ImportError: There is no matplotlib.
        TypeError: Something else was passed.

    Example:

    ```python
    plot_channel_groups(kp.analyze_channels(model))
    ```
    """
    return _drawn(analysis, "analysis", "what `analyze_channels` returned", ax, "groups", "trace")


def plot_layers(report: Any, ax: Any = None) -> Any:
    """Draw the layers, parameters and multiply-accumulates of a model before and after layers were removed.

    Args:
        report: `prune_layers(...).report`.
        ax: Axes of matplotlib to draw on. Defaults to those of a new figure.

    Returns:
        The axes.

    Raises:
        ImportError: There is no matplotlib.
        TypeError: Something else was passed.

    Example:

    ```python
    plot_layers(kp.prune_layers(model, ratio=0.5).report)
    ```
    """
    return _drawn(report, "report", "`prune_layers(...).report`", ax, "layers_before", "candidates")


def plot_layer_candidates(analysis: Any, ax: Any = None) -> Any:
    """Draw the parameters of each layer or branch that can be removed.

    Args:
        analysis: What `analyze_layers` returned.
        ax: Axes of matplotlib to draw on. Defaults to those of a new figure.

    Returns:
        The axes.

    Raises:
        ImportError: There is no matplotlib.
        TypeError: Something else was passed.

    Example:

    ```python
    plot_layer_candidates(kp.analyze_layers(model))
    ```
    """
    return _drawn(analysis, "analysis", "what `analyze_layers` returned", ax, "ranked", "candidates")


def plot_autoprune(result: Any, ax: Any = None) -> Any:
    """Draw what the best model of a search costs, as fractions of what the unpruned one does.

    Args:
        result: What `autoprune` returned. `plot_pareto(result.front)` draws all of its candidates.
        ax: Axes of matplotlib to draw on. Defaults to those of a new figure.

    Returns:
        The axes.

    Raises:
        ImportError: There is no matplotlib.
        TypeError: Something else was passed.
    """
    return _drawn(result, "result", "what `autoprune` returned", ax, "best", "front")


def plot_decisions(decisions: Any, ax: Any = None) -> Any:
    """Draw the metric and the bound of each decision of a search.

    Args:
        decisions: `autoprune(...).decisions`, or those of `HoldAccuracy` or `IterativeMagnitude`.
        ax: Axes of matplotlib to draw on. Defaults to those of a new figure.

    Returns:
        The axes.

    Raises:
        ImportError: There is no matplotlib.
        TypeError: Something else was passed.

    Example:

    ```python
    loop = kp.IterativeMagnitude(kp.wrap_pruning(model), 0.75, rounds=2)
    for ticket in loop:
        pass  # train it here
    plot_decisions(loop.results)
    ```
    """
    return _drawn(decisions, "decisions", "the decisions or rounds of a search", ax, "records", "__len__")


def _drawn(report: Any, name: str, maker: str, ax: Any, *parts: str) -> Any:
    check_drawn(report, name, maker, "plot", *parts)
    return report.plot(ax)
