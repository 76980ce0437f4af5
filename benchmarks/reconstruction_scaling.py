"""How the time and the peak memory of `prune_weights(reconstruct=x)` grow with images and layers.

    KERAS_BACKEND=tensorflow python benchmarks/reconstruction_scaling.py [--layers 4 8 16] [--images 256 512 1024]

A chain of convolutions of the same width, with random weights, is pruned by 80%. Each row is a subprocess,
which gives freed memory back at once. Times are those of its processors; memory is what the process grew by at most
beside the model and the images, which were there before.
"""

import argparse
import os
import subprocess
import sys
import time

import keras
import memory
import numpy as np
from keras import layers

import keras_prune as kp

SIZE = 16  # of an image, along each axis


def network(count: int, width: int) -> keras.Model:
    parts = [layers.Conv2D(width, 3, padding="same", activation="relu") for _ in range(count)]
    return keras.Sequential([keras.Input((SIZE, SIZE, width)), *parts])


def row(count: int, images: int, width: int) -> None:
    """Prints the seconds of the processors and the bytes."""
    x = np.random.default_rng(0).normal(size=(images, SIZE, SIZE, width)).astype("float32")
    model = network(count, width)
    kp.prune_weights(network(1, 4), 0.8, reconstruct=x[:64, :, :, :4])  # whatever is loaded once
    before = time.process_time()
    _, grown = memory.measure(lambda: kp.prune_weights(model, 0.8, reconstruct=x))
    print(time.process_time() - before, grown)


def main() -> None:
    parser = argparse.ArgumentParser(description="Reconstruction of more layers, on more images.")
    parser.add_argument("--layers", type=int, nargs="+", default=[4, 8, 16], help="numbers of layers (default: 4 8 16)")
    parser.add_argument("--images", type=int, nargs="+", default=[256, 512, 1024], help="(default: 256 512 1024)")
    parser.add_argument("--width", type=int, default=16, help="channels of each layer (default: 16)")
    parser.add_argument("--row", type=int, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.row:
        row(*args.row, args.width)
        return
    cases = [(each, args.images[0]) for each in args.layers] + [(args.layers[0], each) for each in args.images[1:]]
    print(f"layers of {args.width} channels, images of {SIZE} x {SIZE}")
    for count, images in cases:
        command = [sys.executable, __file__, "--row", str(count), str(images), "--width", str(args.width)]
        done = subprocess.run(command, env=os.environ | memory.HONEST, capture_output=True, text=True, check=True)
        seconds, grown = done.stdout.split()[-2:]
        size = "-" if grown == "None" else f"{int(grown) / 1e6:.0f} MB"
        print(f"{count:>3} layers {images:>5} images   processor time {float(seconds):6.2f} s   peak memory {size}")


if __name__ == "__main__":
    main()
