"""Worker: the same as `channels.py` for Torch-Pruning, which prunes models of PyTorch.

It changes the model that it is given, so each round gets a new one, and making that is not timed. What a copy takes is
timed apart: whoever wants to keep the model needs one. It runs in an environment of its own and imports nothing of
keras_prune.
"""

import copy
import importlib.metadata
from collections.abc import Iterator
from typing import Any

import clock
import torch
import torch_networks
import torch_pruning as tp
from absl import app, flags
from processes import serve

_NETWORK = flags.DEFINE_enum("network", "ResNet50", sorted(torch_networks.PARAMETERS), "A network.")
_SIZE = flags.DEFINE_integer("size", 224, "Height and width of its images.")


def prune(model: torch.nn.Module, images: torch.Tensor) -> None:
    pruner = tp.pruner.MagnitudePruner(
        model,
        images,
        importance=tp.importance.MagnitudeImportance(p=2),
        pruning_ratio=0.5,
        ignored_layers=[model.classifier],
    )
    pruner.step()


def measurements() -> Iterator[dict[str, Any]]:
    images = torch.randn(1, 3, _SIZE.value, _SIZE.value)
    yield {"versions": {name: importlib.metadata.version(name) for name in ("torch", "torch-pruning")}}
    while True:
        built, model = clock.timed(torch_networks.build, _NETWORK.value)
        before = count(model)
        copied, _ = clock.timed(copy.deepcopy, model)
        pruned, _ = clock.timed(prune, model, images)
        yield {"build": built, "copy": copied, "prune": pruned, "before": before, "after": count(model)}


def count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def main(_: list[str]) -> None:
    torch.manual_seed(0)
    serve(measurements())


if __name__ == "__main__":
    app.run(main)
