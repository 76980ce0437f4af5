"""From seconds to rows, and from rows to tables. A row is a dict, and goes into the JSON file as it is."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from turns import AGAIN, DENSE, FREQUENCIES, ROUND

TFMOT = "tfmot"
STEP_LIMITS = {("cnn", 100): 1.01, ("cnn", 10): 1.02, ("mlp", 100): 1.05, ("mlp", 10): 1.15}  # pruned / dense
UPDATE_LIMIT = 1.0  # seconds for one update of 25 million weights, on two cores
MEMORY_LIMIT = 2.0  # of the largest weight

Answers = Mapping[str, Sequence[Mapping[str, Any]]]


def step_rows(network: str, rounds: Answers) -> list[dict[str, Any]]:
    """One row for each backend and frequency.

    Args:
        network: What was trained.
        rounds: For each backend, and for tfmot if it took part, what each model took in each round.
    """
    tfmot = {row["frequency"]: row for row in _ratios(rounds.get(TFMOT, ()))}
    rows = []
    for backend, answers in rounds.items():
        if backend == TFMOT:
            continue
        for measured in _ratios(answers):
            limit = STEP_LIMITS[network, measured["frequency"]]
            # tfmot is TensorFlow: beside another backend its ratio would say nothing.
            peer = tfmot.get(measured["frequency"]) if backend == "tensorflow" else None
            row = {"network": network, "backend": backend, **measured}
            rows.append({**row, "limit": limit, "ok": measured["ratio"] <= limit, "tfmot": peer})
    return rows


def ratio(costs: Mapping[str, Mapping[str, float]], frequency: int, of: str = "seconds") -> float:
    """Pruned / dense in one round: dense is the mean of two models."""
    return costs[str(frequency)][of] / _dense(costs, of)


def _dense(costs: Mapping[str, Mapping[str, float]], of: str = "seconds") -> float:
    return (costs[DENSE][of] + costs[AGAIN][of]) / 2


def _ratios(rounds: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    if not rounds:
        return []
    rows = []
    again = [costs[AGAIN]["seconds"] / costs[DENSE]["seconds"] for costs in rounds]
    for frequency in FREQUENCIES:
        ratios = [ratio(costs, frequency) for costs in rounds]
        rows.append(
            {
                "frequency": frequency,
                "ratio": statistics.median(ratios),
                "lowest": min(ratios),
                "highest": max(ratios),
                "cpu_ratio": statistics.median(ratio(costs, frequency, "cpu") for costs in rounds),
                "again_lowest": min(again),
                "again_highest": max(again),
                "rounds": len(ratios),
                "dense_ms": 1000 / ROUND * statistics.median(map(_dense, rounds)),
                "pruned_ms": 1000 / ROUND * statistics.median(costs[str(frequency)]["seconds"] for costs in rounds),
            }
        )
    return rows


def update_rows(updates: Answers, memory: Answers) -> list[dict[str, Any]]:
    """One row for each case and each backend, tfmot included, which has no limits to keep.

    Args:
        updates: For each backend, and for tfmot, its single updates in the order in which they were measured.
        memory: The same, of processes whose memory can be trusted and whose time cannot.
    """
    rows = []
    for backend, answers in updates.items():
        for case in dict.fromkeys(answer["case"] for answer in answers):
            seconds = _medians(answers, case, "seconds")
            peaks = _medians(memory.get(backend, ()), case, "memory")
            row: dict[str, Any] = {"case": case, "backend": backend, "seconds": seconds}
            row["memory"] = max(peaks.values()) if peaks else None
            if backend != TFMOT:
                row |= {"limit": UPDATE_LIMIT, "ok": max(seconds.values()) <= UPDATE_LIMIT}
                row |= {"memory_limit": MEMORY_LIMIT, "memory_ok": row["memory"] <= MEMORY_LIMIT if peaks else None}
            rows.append(row)
    return rows


def _medians(answers: Sequence[Mapping[str, Any]], case: str, of: str) -> dict[str, float]:
    """The median for each sparsity."""
    known = [answer for answer in answers if answer["case"] == case and answer[of] is not None]
    sparsities = dict.fromkeys(answer["sparsity"] for answer in known)
    return {str(s): statistics.median(a[of] for a in known if a["sparsity"] == s) for s in sparsities}


def criteria_rows(rounds: Answers) -> list[dict[str, Any]]:
    """One row for each backend and importance: the cost of an update, alone, in magnitude updates, and in steps.

    Args:
        rounds: For each backend, the seconds of a dense training step and of an update with each importance, in each
            round.
    """
    rows = []
    for backend, answers in rounds.items():
        for name in answers[0]:
            if name == "dense":
                continue
            steps = [costs[name] / costs["dense"] for costs in answers]
            rows.append(
                {
                    "importance": name,
                    "backend": backend,
                    "update_ms": 1000 * statistics.median(costs[name] for costs in answers),
                    "step_ms": 1000 * statistics.median(costs["dense"] for costs in answers),
                    "magnitudes": statistics.median(costs[name] / costs["magnitude"] for costs in answers),
                    "steps": statistics.median(steps),
                    "lowest": min(steps),
                    "highest": max(steps),
                    "rounds": len(answers),
                }
            )
    return rows


def step_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(
        title="Training step, pruned / dense: median of the rounds (lowest - highest)",
        caption="CPU time: the same ratio in processor seconds. Other load hardly changes it; idle cores do not count. "
        "Dense / dense: the second of two dense models / the first, which is what the ratios are worth.",
    )
    for name in ("network", "backend", "updates each", "dense ms", "pruned ms"):
        table.add_column(name, no_wrap=True)
    for name in ("pruned / dense", "limit", "", "CPU time", "dense / dense", "tfmot: pruned / dense", "ms"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        tfmot = row["tfmot"]
        table.add_row(
            row["network"].upper(),
            row["backend"],
            f"{row['frequency']} steps",
            f"{row['dense_ms']:.1f}",
            f"{row['pruned_ms']:.1f}",
            _ratio(row),
            f"{row['limit']:.2f}",
            verdict(row["ok"]),
            f"{row['cpu_ratio']:.3f}",
            f"{row['again_lowest']:.3f} - {row['again_highest']:.3f}",
            _ratio(tfmot) if tfmot else "-",
            f"{tfmot['pruned_ms']:.1f}" if tfmot else "-",
        )
    return table


def update_table(rows: Sequence[Mapping[str, Any]], sparsities: Sequence[float], weights: str) -> Table:
    table = Table(title=f"One mask update, {weights} weights: seconds, and peak extra memory / largest weight")
    for name in ("case", "backend", *(f"to {sparsity:.0%}" for sparsity in sparsities)):
        table.add_column(name)
    for name in ("limit", "", "memory", "limit", ""):
        table.add_column(name, justify="right")
    for row in rows:
        limits = "limit" in row
        table.add_row(
            row["case"],
            row["backend"],
            *(f"{row['seconds'][str(sparsity)]:.3f}" for sparsity in sparsities),
            f"{row['limit']:.1f}" if limits else "-",
            verdict(row["ok"]) if limits else "-",
            "-" if row["memory"] is None else f"{row['memory']:.2f}",
            f"{row['memory_limit']:.1f}" if limits else "-",
            verdict(row["memory_ok"]) if limits else "-",
        )
    return table


def criteria_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(
        title="One mask update of the CNN in fit, by importance: median of the rounds (lowest - highest)",
        caption="Share: what an update each 100 steps, the default, adds to the time of training.",
    )
    table.add_column("importance")
    table.add_column("backend")
    for name in ("update ms", "/ magnitude's", "step ms", "update / dense step", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row["importance"],
            row["backend"],
            f"{row['update_ms']:.1f}",
            f"{row['magnitudes']:.1f}",
            f"{row['step_ms']:.1f}",
            f"{row['steps']:.2f} ({row['lowest']:.2f} - {row['highest']:.2f})",
            f"{row['steps'] / 100:.1%}",
        )
    return table


def _ratio(row: Mapping[str, Any]) -> str:
    return f"{row['ratio']:.3f} ({row['lowest']:.3f} - {row['highest']:.3f})"


def verdict(ok: bool | None) -> str:
    return {True: "[green]ok[/]", False: "[red]miss[/]", None: "-"}[ok]
