"""The candidates of a search, and their Pareto front."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_prune.automation.folder import JOURNAL
from keras_prune.reading.json_files import fields, items, read_json, record
from keras_prune.reading.model_files import load_keras_file
from keras_prune.reporting.numbers import number
from keras_prune.validation import check_choice
from tflite_export.reporting import Report, Shown, Table

FORMAT = 3  # of a journal; without a number: that of earlier searches
COSTS = ("gzip_bytes", "bytes", "parameters", "nonzeros", "macs", "latency_ms")


@dataclasses.dataclass(frozen=True)
class Candidate(Shown):
    """Candidate of a search: a model that was pruned, fine-tuned, exported and evaluated.

    Args:
        name: Such as `"dense"` (the unpruned model), `"channels-1"` or `"weights-3"`.
        metric: Metric of the `.tflite` file on the validation data.
        keras_metric: Metric of the Keras model.
        bytes: Size of the file.
        gzip_bytes: Size of the file after gzip, as in a download or an app package: stored zeros count little.
        parameters: Number of weights of the model.
        nonzeros: Number of nonzero weights.
        macs: Multiply-accumulates of a forward pass; None if they are unknown: `cost` says why.
        latency_ms: Median latency of the file in milliseconds, with one thread, on this machine; None if it was not
            measured. It is noisy.
        path: Path of the file. The Keras model lies beside it: `keras_path`.
        done: What was pruned, in words.
        low: Lower end of the 95% confidence interval of the metric; None if it is unknown. Defaults to None.
        high: Its upper end. Defaults to None.
        epochs: Epochs of fine-tuning behind it, those of the candidates that it was made from included. Defaults to 0.
        allocation: How the per-layer sparsity was chosen: `"uniform"`, `"greedy"` or `"optuna"`. Defaults to `""`: that
            of the unpruned model.
        history: Metric of the Keras model before its fine-tuning and after each epoch since it was pruned. Defaults to
            `()`: there was none.
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
    low: float | None = None
    high: float | None = None
    epochs: int = 0
    allocation: str = ""
    history: tuple[float, ...] = ()

    @property
    def keras_path(self) -> pathlib.Path:
        """Path of the Keras model: plain layers, in which the zeros are stored; not compiled."""
        return self.path.with_suffix(".keras")

    def load(self) -> keras.Model:
        """Load the Keras model, whose file is not trusted: as in `keras.saving.load_model`, code in it is not run.

        Raises:
            ValueError: The file is missing or damaged.
        """
        try:
            return load_keras_file(self.keras_path, safe=None)
        except Exception as error:  # Keras has one of its own for each kind of damage
            raise ValueError(f"The model cannot be loaded ({error}). Received: '{self.keras_path}'") from error

    def cost(self, name: str) -> float:
        """Return a cost by the name of its field; infinite if it is unknown."""
        value = getattr(self, name)
        return float("inf") if value is None else float(value)


_AS_JSON: dict[str, Any] = {"path": str, "history": list}
_Row: Any = dataclasses.make_dataclass(
    "Candidate",
    [(each.name, _AS_JSON.get(each.name, each.type)) for each in dataclasses.fields(Candidate)],
)


@dataclasses.dataclass(frozen=True)
class ParetoFront(Report):
    """Candidates of a search, and their Pareto front: those that no other candidate dominates.

    `print` shows a table of all candidates, in which those of the front have a star; `plot` draws the metric over the
    cost.

    Args:
        candidates: In the order in which they were made, the unpruned model first.
        metric: Name of the metric.
        higher_is_better: Whether it should be high.
        cost: The cost that is weighed against the metric: `"gzip_bytes"`, `"bytes"`, `"parameters"`, `"nonzeros"`,
            `"macs"` or `"latency_ms"`. Defaults to `"gzip_bytes"`.

    Raises:
        ValueError: An unknown cost.

    Example:

    ```python
    model.compile("adam", "mse")
    budget = Budget(params=0.7)
    autoprune(model, (x, y), (x, y), output="found", max_drop=0.5, budget=budget, quantize=None)
    front = ParetoFront.load("found")  # at any later time
    print(front)
    small = front.best(bound=5.0, bytes=10_000).load()  # the smallest model whose loss is 5 at most
    ```
    """

    candidates: tuple[Candidate, ...]
    metric: str
    higher_is_better: bool
    cost: str = "gzip_bytes"

    def __post_init__(self) -> None:
        check_choice(self.cost, "cost", COSTS)

    @property
    def front(self) -> tuple[Candidate, ...]:
        """The candidates that no other one dominates, the cheapest first. One dominates another if it is no worse in
        metric and cost, and better in one of them."""
        found: list[Candidate] = []
        for candidate in sorted(self.candidates, key=lambda each: (each.cost(self.cost), -self.score(each))):
            if not found or self.score(candidate) > self.score(found[-1]):
                found.append(candidate)
        return tuple(found)

    def by(self, cost: str) -> "ParetoFront":
        """Return the same candidates with another cost weighed against the metric."""
        return dataclasses.replace(self, cost=cost)

    def best(self, bound: float | None = None, **limits: float) -> Candidate:
        """Return the cheapest candidate within a bound of the metric.

        Args:
            bound: Worst acceptable value of the metric. Defaults to None: any.
            **limits: Upper limits by the names of costs, such as `bytes=20_000`. Default to none.

        Raises:
            ValueError: There is no such candidate, or no such cost; the message lists what there is.
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
            raise ValueError(f"No candidate is within these limits:\n{self}\nReceived: bound={bound}, limits={limits}")
        return min(good, key=lambda each: (each.cost(self.cost), -self.score(each)))

    def holds(self, value: float, bound: float) -> bool:
        """Whether a value of the metric is no worse than a bound. NaN is worse than any number."""
        return value >= bound if self.higher_is_better else value <= bound

    def plot(self, ax: Any = None) -> Any:
        """Draw the metric of each candidate over its cost, and the front as a line.

        Args:
            ax: Axes of matplotlib to draw on. Defaults to those of a new figure.

        Returns:
            The axes.

        Raises:
            ImportError: There is no matplotlib.
        """
        from keras_prune.plots.pareto import plot_pareto  # here, since it needs matplotlib

        return plot_pareto(self, ax)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], cost: str = "gzip_bytes") -> "ParetoFront":
        """Load the candidates from an output folder of `autoprune`.

        Args:
            folder: The folder.
            cost: As in the class. Defaults to `"gzip_bytes"`.

        Raises:
            ValueError: The folder holds no search.
        """
        file = pathlib.Path(folder) / JOURNAL
        try:
            if not file.is_file():
                raise ValueError(f"it has no {JOURNAL}")
            head, candidates = read_candidates(read_json(file), file.parent)
        except (OSError, ValueError) as error:
            raise ValueError(f"The folder holds no search of `autoprune`. Received: '{folder}' ({error})") from error
        return cls(tuple(candidates), head["metric"], head["higher_is_better"], cost)

    def _tables(self) -> Sequence[Table]:
        headings = (
            "Candidate",
            "Front",
            self.metric,
            "Bytes",
            "Bytes after gzip",
            "Parameters",
            "Nonzeros",
            "MACs",
            "Latency, ms",
        )
        front = {each.name for each in self.front}
        rows = [
            (
                each.name,
                "*" if each.name in front else "",
                f"{each.metric:.4f}",
                f"{each.bytes:,}",
                f"{each.gzip_bytes:,}",
                f"{each.parameters:,}",
                f"{each.nonzeros:,}",
                number(each.macs),
                "-" if each.latency_ms is None else f"{each.latency_ms:.3g}",
            )
            for each in self.candidates
        ]
        return [Table(headings, rows, title=f"Candidates; the Pareto front is of {self.metric} and {self.cost}")]

    def _rows(self) -> Sequence[Mapping[str, Any]]:
        """The candidates, and whether each is on the front."""
        front = {each.name for each in self.front}
        return [
            {**dataclasses.asdict(each), "path": os.fspath(each.path), "front": each.name in front}
            for each in self.candidates
        ]

    def _facts(self) -> Mapping[str, Any]:
        return {"metric": self.metric, "higher_is_better": self.higher_is_better, "cost": self.cost}

    def score(self, candidate: Candidate) -> float:
        """Return the metric with its sign such that higher is better; NaN is the worst."""
        if candidate.metric != candidate.metric:
            return float("-inf")
        return candidate.metric if self.higher_is_better else -candidate.metric


def read_candidates(content: Any, folder: pathlib.Path) -> tuple[dict[str, Any], list[Candidate]]:
    """The name of the metric and its direction in a journal, and the candidates, whose files are in this folder now.

    Raises:
        ValueError: It is no journal.
    """
    if isinstance(content, dict) and content.get("format", 1) != FORMAT:
        raise ValueError(
            f"it has the format {content.get('format', 1)!r}, of another version of `autoprune`, and this one reads "
            f"{FORMAT}: its candidates were chosen and measured in another way; name another folder"
        )
    head = fields(content, {"metric": str, "higher_is_better": bool, "candidates": list})
    return head, [_candidate_of(row, folder) for row in items(head.pop("candidates"), dict, "candidates")]


def _candidate_of(row: dict[str, Any], folder: pathlib.Path) -> Candidate:
    """The candidate of a `row_of`."""
    found = record(_Row, row)
    if found.path != f"{found.name}.tflite" or not re.fullmatch(r"[\w-]+", found.name):  # never a file elsewhere
        raise ValueError(f"'path' must be the name of the candidate and .tflite, not {found.path!r}")
    history = tuple(items(found.history, float, "history"))
    return Candidate(**{**vars(found), "path": folder / found.path, "history": history})


def row_of(candidate: Candidate) -> dict[str, Any]:
    """Return a candidate as JSON can hold it; of its path the name."""
    return {**dataclasses.asdict(candidate), "path": candidate.path.name}
