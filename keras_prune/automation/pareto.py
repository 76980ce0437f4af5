"""The candidates of a search, and those of them that no other one beats."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import keras

from keras_prune.automation.folder import JOURNAL
from keras_prune.reporting.numbers import number
from keras_prune.reporting.tables import table

COSTS = ("gzip_bytes", "bytes", "parameters", "nonzeros", "macs", "latency_ms")


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A model that was tried, trained, exported and measured.

    Args:
        name: `"dense"`, `"channels-1"`, `"weights-3"`.
        metric: That of the `.tflite` file on the validation data.
        keras_metric: That of the Keras model.
        bytes: Size of the file.
        gzip_bytes: Its size after gzip, as a download or in an app package: zeros that are stored count little.
        parameters: All weights of the model.
        nonzeros: Those that are not zero.
        macs: Multiply-accumulates of a forward pass; None if they are not known: `cost` says why.
        latency_ms: Median time of a call of the file with one thread, on this machine, as far as a clock can tell.
        path: The file. The Keras model lies beside it: `keras_path`.
        done: What was done to get it.
    """

    name: str
    metric: float
    keras_metric: float
    bytes: int
    gzip_bytes: int
    parameters: int
    nonzeros: int
    macs: int | None
    latency_ms: float | None
    path: pathlib.Path
    done: str

    @property
    def keras_path(self) -> pathlib.Path:
        """The Keras model: plain layers, with the zeros written in, not compiled."""
        return self.path.with_suffix(".keras")

    def load(self) -> keras.Model:
        """Loads the Keras model."""
        return keras.models.load_model(self.keras_path, compile=False)

    def cost(self, name: str) -> float:
        """What it costs, by the name of a field; infinite if that is not known."""
        value = getattr(self, name)
        return float("inf") if value is None else float(value)


@dataclasses.dataclass(frozen=True)
class ParetoFront:
    """All candidates of a search. Its `str` is a table, in which those of the front have a star.

    Args:
        candidates: In the order in which they were made, the unpruned model first.
        metric: Name of the metric.
        higher_is_better: Whether it should be high.
        cost: What is weighed against the metric: `"gzip_bytes"`, `"bytes"`, `"parameters"`, `"nonzeros"`, `"macs"` or
            `"latency_ms"`.

    Raises:
        ValueError: Another cost.

    Example:

    ```python
    model.compile("adam", "mse")
    budget = Budget(params=0.7)
    autoprune(model, (x, y), (x, y), output="found", max_drop=0.5, budget=budget, quantize=None)
    front = ParetoFront.load("found")  # what was found, at any later time
    print(front)
    small = front.best(bound=5.0, bytes=10_000).load()  # the smallest model whose loss is 5 at most
    ```
    """

    candidates: tuple[Candidate, ...]
    metric: str
    higher_is_better: bool
    cost: str = "gzip_bytes"

    def __post_init__(self) -> None:
        if self.cost not in COSTS:
            raise ValueError(f"`cost` must be one of {list(COSTS)}. Received: cost={self.cost!r}")

    @property
    def front(self) -> tuple[Candidate, ...]:
        """The candidates than which none is cheaper and as good, or better and as cheap; the cheapest first."""
        found: list[Candidate] = []
        for candidate in sorted(self.candidates, key=lambda each: (each.cost(self.cost), -self._score(each))):
            if not found or self._score(candidate) > self._score(found[-1]):
                found.append(candidate)
        return tuple(found)

    def by(self, cost: str) -> "ParetoFront":
        """The same candidates, with something else weighed against the metric."""
        return dataclasses.replace(self, cost=cost)

    def best(self, bound: float | None = None, **limits: float) -> Candidate:
        """The cheapest candidate of those that are good enough.

        Args:
            bound: The worst value of the metric that will do; None: any.
            **limits: What else it may cost at most, by the names of costs: `bytes=20_000`.

        Raises:
            ValueError: There is none, or a limit of another name; the message says what there is.
        """
        unknown = [name for name in limits if name not in COSTS]
        if unknown:
            raise ValueError(f"Limits may be of {list(COSTS)}. Received: {unknown[0]}={limits[unknown[0]]!r}")
        good = [
            each
            for each in self.candidates
            if (bound is None or self.holds(each.metric, bound))
            and all(each.cost(name) <= limit for name, limit in limits.items())
        ]
        if not good:
            raise ValueError(f"No candidate is so good and so cheap:\n{self}\nReceived: bound={bound}, limits={limits}")
        return min(good, key=lambda each: (each.cost(self.cost), -self._score(each)))

    def holds(self, value: float, bound: float) -> bool:
        """Whether a value of the metric is no worse than a bound. NaN is worse than any."""
        return value >= bound if self.higher_is_better else value <= bound

    @property
    def records(self) -> list[dict[str, Any]]:
        """The candidates as plain data, with `"front"`: whether each is on the front."""
        front = {each.name for each in self.front}
        return [
            {**dataclasses.asdict(each), "path": os.fspath(each.path), "front": each.name in front}
            for each in self.candidates
        ]

    def plot(self, ax: Any = None) -> Any:
        """Draws the metric over the cost; see `keras_prune.plots.pareto.plot_pareto`."""
        from keras_prune.plots.pareto import plot_pareto  # here, since it needs matplotlib

        return plot_pareto(self, ax)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], cost: str = "gzip_bytes") -> "ParetoFront":
        """Reads what `autoprune` left in its output folder.

        Raises:
            ValueError: There is no such thing.
        """
        file = pathlib.Path(folder) / JOURNAL
        try:
            content = json.loads(file.read_text())
            candidates = tuple(candidate_of(row, file.parent) for row in content["candidates"])
            return cls(candidates, content["metric"], content["higher_is_better"], cost)
        except (OSError, KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(f"The folder holds no search of `autoprune`. Received: '{folder}' ({error})") from error

    def __str__(self) -> str:
        headings = ("Candidate", self.metric, "Bytes", "Gzip", "Parameters", "Non-zeros", "MACs", "ms", "Front")
        front = {each.name for each in self.front}
        rows = [
            (
                each.name,
                f"{each.metric:.4f}",
                f"{each.bytes:,}",
                f"{each.gzip_bytes:,}",
                f"{each.parameters:,}",
                f"{each.nonzeros:,}",
                number(each.macs),
                "-" if each.latency_ms is None else f"{each.latency_ms:.3g}",
                "*" if each.name in front else "",
            )
            for each in self.candidates
        ]
        return table(f"Candidates; the front is of {self.metric} and {self.cost}", headings, rows)

    def _score(self, candidate: Candidate) -> float:
        """The metric, higher = better; NaN is the worst."""
        if candidate.metric != candidate.metric:
            return float("-inf")
        return candidate.metric if self.higher_is_better else -candidate.metric


def candidate_of(row: Mapping[str, Any], folder: pathlib.Path) -> Candidate:
    """A candidate from `row_of`, whose files lie in this folder now."""
    return Candidate(**{**row, "path": folder / row["path"]})


def row_of(candidate: Candidate) -> dict[str, Any]:
    """A candidate as JSON can write it, its file by name."""
    return {**dataclasses.asdict(candidate), "path": candidate.path.name}
