"""What structured pruning costs: from seconds to rows, and from rows to tables."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from report import Answers, verdict
from rich.table import Table

PEER = "torch-pruning"
LIMIT = 1.0  # of the time of Torch-Pruning


def network_rows(network: str, rounds: Answers) -> list[dict[str, Any]]:
    """One row for each backend, and one for Torch-Pruning if it took part.

    Args:
        network: What was pruned.
        rounds: What each backend, and Torch-Pruning, took in each round. The first is apart: much is loaded then.
    """
    peers = rounds.get(PEER, ())
    rows = []
    for name, answers in rounds.items():
        first, *others = answers
        if not others:  # it crashed
            continue
        row: dict[str, Any] = {
            "network": network,
            "name": name,
            "before": first["before"],
            "after": first["after"],
            "first": first["prune"]["seconds"],
            "seconds": statistics.median(answer["prune"]["seconds"] for answer in others),
            "cpu": statistics.median(answer["prune"]["cpu"] for answer in others),
            "build": statistics.median(answer["build"]["seconds"] for answer in others),
            "rounds": len(others),
        }
        if name != PEER and len(peers) == len(answers):
            first_ratio, *ratios = _ratios(answers, peers, "prune")
            _, *beside_copies = _ratios(answers, peers, "copy", "prune")
            ratio = statistics.median(ratios)
            row |= {"ratio": ratio, "lowest": min(ratios), "highest": max(ratios), "first_ratio": first_ratio}
            row |= {"limit": LIMIT, "ok": ratio <= LIMIT, "ratio_to_copy": statistics.median(beside_copies)}
        rows.append(row)
    return rows


def _ratios(answers: Sequence[Mapping[str, Any]], peers: Sequence[Mapping[str, Any]], *parts: str) -> list[float]:
    """Our time to the sum of these parts of the peer's, in each round."""
    return [
        mine["prune"]["seconds"] / sum(peer[part]["seconds"] for part in parts)
        for mine, peer in zip(answers, peers, strict=True)
    ]


def scaling_rows(answers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each size of model, with the seconds for each node."""
    return [
        {**answer, "each": {key: answer[key] / answer["nodes"] for key in ("build", "analyze", "prune")}}
        for answer in answers
    ]


def network_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(
        title="Half of the channels of every group removed: seconds, and ratio to Torch-Pruning (lowest - highest)",
        caption="Torch-Pruning changes the model it is given; + copy: ratio to its time with that of a copy before. "
        "first: the first call in a process. building: what the framework takes to make the network. "
        "Parameters: those that are trained, in millions.",
    )
    for name in ("network", ""):
        table.add_column(name)
    for name in ("seconds", "CPU time", "ratio", "limit", "", "+ copy", "first", "ratio", "building", "parameters"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        compared = "ratio" in row
        table.add_row(
            row["network"],
            row["name"],
            f"{row['seconds']:.3f}",
            f"{row['cpu']:.3f}",
            f"{row['ratio']:.2f} ({row['lowest']:.2f} - {row['highest']:.2f})" if compared else "-",
            f"{row['limit']:.2f}" if compared else "-",
            verdict(row["ok"]) if compared else "-",
            f"{row['ratio_to_copy']:.2f}" if compared else "-",
            f"{row['first']:.3f}",
            f"{row['first_ratio']:.2f}" if compared else "-",
            f"{row['build']:.3f}",
            f"{row['before'] / 1e6:.2f} -> {row['after'] / 1e6:.2f}",
        )
    return table


def scaling_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(
        title="Chains of blocks: seconds, and milliseconds a node",
        caption="Keras: to build the model. prune_channels: analysis, plan, and the smaller model, which Keras builds.",
    )
    for name in ("nodes", "Keras", "a node", "analysis", "a node", "prune_channels", "a node"):
        table.add_column(name, justify="right")
    for row in rows:
        cells = [(f"{row[key]:.3f}", f"{1000 * row['each'][key]:.3f}") for key in ("build", "analyze", "prune")]
        table.add_row(f"{row['nodes']:,}", *(cell for pair in cells for cell in pair))
    return table
