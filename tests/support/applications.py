"""The architectures of `keras.applications`, each pruned and held against the oracle.

`make proof` runs all of them, one after the other, each in a process of its own, and writes docs/applications.md.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import time

import keras
import numpy as np
from keras import ops
from support.channel_zoo import batch, check, difference, outputs, randomise

from keras_prune.channels.recalibrate import recalibrate_statistics, recalibration_batches

# The smallest images that these allow; all others take 32 x 32.
SIZES = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}

# The smallest of each family: these are in the suite.
FAMILIES = [
    "ConvNeXtTiny",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "InceptionResNetV2",
    "InceptionV3",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "NASNetMobile",
    "ResNet50",
    "ResNet50V2",
    "VGG16",
    "Xception",
]


# Their random weights amplify rounding so much that single precision says nothing (2.6e-4 and 9e-6 were seen): double
# precision it is.
DOUBLE = ("EfficientNetB4", "EfficientNetB5")


def names():
    """All architectures, by name."""
    return [name for name in sorted(dir(keras.applications)) if name[0].isupper()]


def build(name):
    size = SIZES.get(name, 32)
    # Its preprocessing expects pixels of 0 to 255, and would make nearly the same image of all random ones.
    raw = {"include_preprocessing": False} if name.startswith("ConvNeXt") else {}
    # Logits: a softmax would hide differences where it saturates.
    return getattr(keras.applications, name)(
        weights=None, classes=10, input_shape=(size, size, 3), classifier_activation=None, **raw
    )


def enliven(model):
    """Random weights that let signals through, however deep the network.

    With statistics that have nothing to do with what flows, activations die or saturate on the way, and the output no
    longer depends on the input: the oracle would compare constants. So the statistics are measured, then disturbed.
    ConvNeXt has none, and kernels of deviation 0.02, small beside the biases: such kernels are made larger. VGG has no
    normalisation at all, and ReLU halves the variance in each layer: its kernels are made larger by a root of two.
    """
    randomise(model)
    normalised = any("Normalization" in type(layer).__name__ for layer in model.layers)
    for weight in model.weights:
        if len(weight.shape) > 1 and weight.path.endswith("kernel"):
            values = ops.convert_to_numpy(weight.value)
            usual = np.prod(weight.shape[:-1]) ** -0.5
            if not normalised:
                weight.assign(values * (2**0.5 * usual / values.std()))
            elif values.std() < 0.5 * usual:
                weight.assign(values * (usual / values.std()))
    recalibrate_statistics(model, recalibration_batches(model, batch(model, 16, seed=2)))
    rng = np.random.default_rng(3)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            mean = ops.convert_to_numpy(layer.moving_mean)
            variance = ops.convert_to_numpy(layer.moving_variance)
            layer.moving_mean.assign(mean + 0.2 * np.sqrt(variance) * rng.normal(size=mean.shape))
            layer.moving_variance.assign(variance * rng.uniform(0.7, 1.4, variance.shape) + 1e-3)
    return model


def prove(name):
    """Prunes half of the channels of every group and checks what is left.

    A normalisation over the channels makes its groups inexact. There the shapes and the parameters are checked, and the
    oracle is asked a second time with these groups whole and half of all others removed.

    Returns:
        What the table says of this architecture, as plain values.
    """
    model = build(name)
    result, error = check(model, prepare=enliven)
    report = result.report
    assert report.parameters_before == model.count_params()
    assert report.parameters_after == result.model.count_params()
    assert not report.unknown, report.unknown
    dense = outputs(model, batch(model))[0]
    alive = difference([dense[:1]], [dense[1:]])
    assert alive > 1e-2, f"the test is empty: the output hardly depends on the input ({alive})"
    if report.inexact:
        _, error = check(model, prepare=lambda model: model, ratios=dict.fromkeys(report.inexact))
        assert error is not None
    frozen = [group for group in report.groups if group.frozen]
    share = sum(group.parameters_before for group in frozen) / report.parameters_before
    assert share <= 0.35, report.frozen
    return {
        "name": name,
        "parameters": [report.parameters_before, report.parameters_after],
        "macs": [report.macs_before, report.macs_after],
        "frozen": report.frozen,
        "frozen_share": share,
        "groups": len(report.groups),
        "inexact": report.inexact,
        "alive": alive,
        "changed": difference(outputs(result.model, batch(model)), [dense]),
        "error": error,
        "precision": keras.config.floatx(),
    }


def prove_all(chosen, results):
    """Each architecture in its own process, so that memory is given back; what fails is told at the end."""
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
        "- **Frozen**: the groups of which nothing can go, and why; the share of all parameters that their layers",
        "  hold. More than 35% fails.",
        "- **Inexact**: the number of groups whose channels are normalised together, so that those that stay change",
        "  when others go. There is no such equality for them: their error was measured with these groups whole and",
        "  half of all others removed. Shapes and parameters were checked with half of every group removed.",
        "- **Time** and **memory**: of the whole check, with the start of Python and TensorFlow; they depend on the",
        "  machine and on what else it does.",
        "",
        "| Architecture | Parameters | Left | MACs | Left | Groups | Frozen | Inexact | Error | Time | Memory |",
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
