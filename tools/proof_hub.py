"""Proves that structured pruning is exact on tiny networks of the families of KerasHub; writes docs/keras-hub.md.

`make proof-hub` runs it, in one process. After an interruption: `make proof-hub PROOF=--resume`. Some of them: `make
proof-hub PROOF="Bert GPT2"`.
"""

import argparse
import json
import pathlib
import sys
import time

import keras

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from networks.hub import FAMILIES, HEAD, describe  # noqa: E402  # folders of the tests
from support.hub_proof import prove  # noqa: E402


def prove_all(chosen, results):
    """Proves each family, adds what was found to the file, and returns the names of those that failed."""
    failed = []
    for count, name in enumerate(chosen, 1):
        began = time.monotonic()
        keras.backend.clear_session()
        keras.utils.set_random_seed(0)
        try:
            found = prove(name)
        except Exception as error:  # whatever it is, the others are tried
            failed.append(name)
            found = {"name": name, "failed": f"{type(error).__name__}: {error}"}
        with results.open("a") as file:
            file.write(json.dumps(found) + "\n")
        said = found.get("failed") or f"error {found['error'] or 0:.1e}"
        print(f"{count}/{len(chosen)} {name}: {said}, {time.monotonic() - began:.0f} s", flush=True)
    return failed


# Why a family is not done, or is kept for the most part, where its own code is the reason.
NOTES = {
    "DebertaV3": "its attention calls a function of TensorFlow that it imports in a method, and stays one layer; on "
    "JAX it is written out, which leaves 42%",
    "RWKV7": "its time mixing carries a state on in a loop over the positions, on TensorFlow in a `TensorArray`",
    "XLNet": "it reshapes its positions from (positions, samples) to (samples, positions), where a transposition is "
    "meant: what it computes of a sample depends on the size of the batch, which no graph for all sizes does",
}
HEADINGS = ["Family", "Made of", "Parameters", "After", "Proved", "Groups", "Inexact", "Error", "Kept: why"]


def why(reasons):
    """Reasons, each once, in their first sentences, without the names of operations."""
    plain = (
        reason if "'" not in reason else reason.partition("'")[0].strip() + reason.rpartition("'")[2]
        for reason in reasons
    )
    short = dict.fromkeys(each.partition(". ")[0].partition(" (see")[0] for each in plain)
    return "; ".join(each.replace("|", "/").replace("must stay", "are kept") for each in short) or "-"


def page(rows):
    """docs/keras-hub.md."""
    rows = sorted(rows, key=lambda row: row["name"].lower())
    proved = [row for row in rows if "failed" not in row]
    lines = [
        "# KerasHub at half the channels",
        "",
        f"`make proof-hub` writes this page: {len(proved)} of {len(rows)} families passed. Each is a tiny backbone",
        "with random weights, and a head of three outputs on the mean of each of its outputs. It is written out as a",
        "graph (`kp.expand`), and `prune_channels(model, 0.5)` removes half of the channels of every group.",
        "",
        "- **Error**: the removal is repeated on weights that hold their own places, which shows what each weight of",
        "  the smaller network is made of; then the smaller network's weights, changed at random, are put into zeros",
        "  of the large one. The error is the largest difference between the outputs of both, relative to the largest",
        "  output. More than 1e-5 fails. This oracle knows nothing of layers.",
        "- **Proved**: the parameters that were removed in that comparison. Groups that are normalised together are",
        "  inexact: the remaining channels change when others are removed, so there these groups were left whole.",
        "- **Kept**: the groups of which no channel can be removed, other than the three outputs.",
        "",
        "| " + " | ".join(HEADINGS) + " |",
        "|---|---|---:|---:|---:|---:|---|---:|---|",
    ]
    for row in rows:
        if "failed" in row:
            reason = NOTES.get(row["name"]) or why([row["failed"]])
            lines.append(f"| {row['name']} | {describe(row['name'])} | | | | | | | failed: {reason} |")
            continue
        before, after = row["parameters"]
        kinds = sorted({reason.split(" ")[0] for reason in row["inexact"].values()})
        kept = [reason for name, reason in row["frozen"].items() if name != HEAD]
        cells = (
            row["name"],
            describe(row["name"]),
            f"{before:,}",
            f"{after:,} ({after / before:.0%})",
            f"{row['proved']:,}",
            str(row["groups"]),
            f"{len(row['inexact'])}: {', '.join(kinds)}" if kinds else "-",
            "-" if row["error"] is None else f"{row['error']:.0e}",
            (f"{len(kept)}: " if kept else "") + (NOTES.get(row["name"]) or why([*kept, *row["whole"]])),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def read(results):
    """The latest result of each family."""
    lines = results.read_text().splitlines() if results.exists() else []
    return {row["name"]: row for row in map(json.loads, lines)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resume", action="store_true", help="leave out those that passed before")
    parser.add_argument("--results", type=pathlib.Path, default=pathlib.Path("build/keras_hub.jsonl"))
    parser.add_argument("--page", type=pathlib.Path, default=pathlib.Path("docs/keras-hub.md"))
    parser.add_argument("chosen", nargs="*", help="families; by default all")
    arguments = parser.parse_args()
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    if not (arguments.chosen or arguments.resume):
        arguments.results.write_text("")
    passed = (
        {name for name, row in read(arguments.results).items() if "failed" not in row} if arguments.resume else set()
    )
    failed = prove_all([name for name in arguments.chosen or FAMILIES if name not in passed], arguments.results)
    rows = read(arguments.results)
    arguments.page.write_text(page([row for name, row in rows.items() if name in FAMILIES]))
    if failed:
        raise SystemExit(f"Failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
