"""Proves that structured pruning is exact on all architectures of `keras.applications`; writes docs/applications.md.

`make proof` runs it: each architecture in a subprocess, one after the other. After an interruption: `make proof
PROOF=--resume`. Some of them: `make proof PROOF="VGG16 ResNet50"`.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import time

import keras

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.applications import DOUBLE, SIZES, names, prove  # noqa: E402  # a folder of the tests


def prove_all(chosen, results):
    """Proves each architecture in a subprocess, so that memory is given back, and returns those that failed."""
    failed = []
    for count, name in enumerate(chosen, 1):
        began = time.monotonic()
        ran = subprocess.run([sys.executable, __file__, "--one", name], stdout=subprocess.PIPE, text=True)
        seconds = time.monotonic() - began
        if ran.returncode:
            failed.append(name)
            print(f"{count}/{len(chosen)} {name}: FAILED, {seconds:.0f} s (exit {ran.returncode})", flush=True)
            continue
        found = json.loads(ran.stdout.splitlines()[-1]) | {"seconds": seconds}
        with results.open("a") as file:
            file.write(json.dumps(found) + "\n")
        print(
            f"{count}/{len(chosen)} {name}: error {found['error']:.1e}, {seconds:.0f} s, {found['peak_mb']:.0f} MB",
            flush=True,
        )
    return failed


def page(rows):
    """docs/applications.md."""
    rows = sorted(rows, key=lambda row: row["name"])
    lines = [
        "# keras.applications at half the channels",
        "",
        f"`make proof` writes this page: {len(rows)} of the {len(names())} architectures passed. Each is built for 10 "
        "classes and the smallest images",
        f"it allows (32 x 32; {', '.join(f'{size} for {name}' for name, size in SIZES.items())}), with random weights, "
        "biases, scales and BatchNormalization",
        "statistics, and `prune_channels(model, 0.5)` removes half of the channels of every group. MACs are those of "
        "one image.",
        "",
        "- **Error**: the largest difference between the outputs of the smaller network and of the original with",
        "  zeros where removed channels are read, relative to the largest output. More than 1e-5 fails. In double",
        "  precision where it says so: there random weights amplify the rounding of single precision too much.",
        "- **Frozen**: the groups of which no channel can be removed, and why; the fraction of all parameters that",
        "  their layers hold. More than 35% fails.",
        "- **Inexact**: the number of groups whose channels are normalised together, so that the remaining ones change",
        "  when others are removed. There is no such equality for them: their error was measured with these groups",
        "  whole and half of all others removed. Shapes and parameters were checked with half of every group removed.",
        "- **Time** and **memory**: of the whole check, with the start of Python and TensorFlow; they depend on the",
        "  machine and on what else it does.",
        "",
        "| Architecture | Parameters before | Parameters after | MACs before | MACs after "
        "| Groups | Frozen | Inexact | Error | Time | Memory |",
        "|---|---:|---:|---:|---:|---:|---|---|---:|---:|---:|",
    ]
    for row in rows:
        (p0, p1), (m0, m1) = row["parameters"], row["macs"]
        frozen = "; ".join(f"{name}: {why}" for name, why in row["frozen"].items())
        kinds = {why.split(" ")[0] for why in row["inexact"].values()}
        cells = (
            row["name"],
            f"{p0:,}",
            f"{p1:,} ({p1 / p0:.1%})",
            f"{m0:,}",
            f"{m1:,} ({m1 / m0:.1%})",
            str(row["groups"]),
            f"{frozen} ({row['frozen_share']:.1%})",
            f"{len(row['inexact'])}: {', '.join(sorted(kinds))}" if kinds else "-",
            f"{row['error']:.1e}" + (" (double)" if row["precision"] == "float64" else ""),
            f"{row['seconds']:.0f} s",
            f"{row['peak_mb'] / 1024:.1f} GB",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def read(results):
    """The latest result of each architecture."""
    lines = results.read_text().splitlines() if results.exists() else []
    return {row["name"]: row for row in map(json.loads, lines)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", help="prove this architecture in this process and print what was found as JSON")
    parser.add_argument("--resume", action="store_true", help="leave out those that passed before")
    parser.add_argument("--results", type=pathlib.Path, default=pathlib.Path("build/applications.jsonl"))
    parser.add_argument("--page", type=pathlib.Path, default=pathlib.Path("docs/applications.md"))
    parser.add_argument("chosen", nargs="*", help="architectures; by default all")
    arguments = parser.parse_args()
    if arguments.one:
        keras.utils.set_random_seed(0)
        keras.config.set_floatx("float64" if arguments.one in DOUBLE else "float32")
        found = prove(arguments.one)
        found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(found))
        return
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    if not (arguments.chosen or arguments.resume):
        arguments.results.write_text("")
    passed = read(arguments.results) if arguments.resume else {}
    failed = prove_all([name for name in arguments.chosen or names() if name not in passed], arguments.results)
    if failed:
        raise SystemExit(f"Failed: {', '.join(failed)}")
    arguments.page.parent.mkdir(parents=True, exist_ok=True)
    arguments.page.write_text(page(read(arguments.results).values()))


if __name__ == "__main__":
    main()
