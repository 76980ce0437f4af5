"""`save_to_preset` of models with masks: a preset of keras_hub holds plain models only."""

import warnings
from typing import Any

from keras_prune import _keras
from keras_prune.masking.masked_weights import apply_masks
from keras_prune.masking.wrapper import masks_aside


def save_to_preset(model: Any, *args: Any, **kwargs: Any) -> None:
    """Save the model as a preset, as keras_hub does: with its zeros, without masks, which the model itself keeps."""
    warnings.warn(
        "A preset holds a plain model: the zeros are saved, the masks are not, and `from_preset` returns a model "
        "without masks. Pass that through `wrap_pruning`, or save the model with `model.save(...)` to keep them. "
        f"Received: the model '{model.name}' with masks",
        stacklevel=2,
    )
    apply_masks(model)
    pruned = type(model)
    try:
        with masks_aside(model):
            object.__setattr__(model, "__class__", pruned._plain_class)  # presets name the class
            model.save_to_preset(*args, **kwargs)
    finally:
        object.__setattr__(model, "__class__", pruned)
        _keras.track_again(model)
