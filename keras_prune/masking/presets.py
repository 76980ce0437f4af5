"""`save_to_preset` of models with masks: a preset of keras_hub holds plain models only."""

import json
import os
import pathlib
import warnings
from typing import Any

from keras_prune import _keras
from keras_prune.masking.masked_weights import apply_masks
from keras_prune.masking.plain_shell import plain_shell
from keras_prune.masking.wrapper import masks_aside
from keras_prune.storage import write_text

TASK = "task.json"  # which keras_hub writes before it saves the backbone of the task


def save_to_preset(model: Any, preset_dir: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
    """Save the model as a preset, as keras_hub does: with its zeros, without masks, which the model itself keeps."""
    warnings.warn(
        "A preset holds a plain model: the zeros are saved, the masks are not, and `from_preset` returns a model "
        "without masks. Pass that through `wrap_pruning`, or save the model with `model.save(...)` to keep them. "
        f"Received: the model '{model.name}' with masks",
        stacklevel=2,
    )
    apply_masks(model)
    plain: Any = plain_shell(model)  # presets name the class
    try:
        with masks_aside(model):
            plain.save_to_preset(preset_dir, *args, **kwargs)
    finally:
        _keras.track_again(model)
    task = pathlib.Path(preset_dir) / TASK
    if task.is_file():  # of a plain model around a backbone with masks
        write_text(task, json.dumps(_without_masks(json.loads(task.read_text(encoding="utf-8"))), indent=4))


def _without_masks(content: Any) -> Any:
    """Content of a file in which configurations of models with masks are those of the plain models."""
    if isinstance(content, list):
        return [_without_masks(each) for each in content]
    if not isinstance(content, dict):
        return content
    config = content.get("config")
    if isinstance(config, dict) and set(config) == {"model", "attached"}:  # as `PrunedModel.get_config` has them
        return _without_masks(config["model"])
    return {name: _without_masks(each) for name, each in content.items()}
