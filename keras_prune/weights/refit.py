"""`refit`: the weights that masks keep take over what they prune, for a model that has its masks already."""

from typing import Any

import keras

from keras_prune.masking.masked_weights import apply_masks, find_masked
from keras_prune.masking.wrapping import add_masks
from keras_prune.validation import check_flag
from keras_prune.weights.reconstruct import Reconstruction, unchanged


def refit(
    model: keras.Model,
    data: Any,
    *,
    original: keras.Model,
    prune_frozen: bool = False,
    recalibrate: bool = False,
) -> keras.Model:
    """Refit the kept weights of a model with masks so that its layers give what those of the original give.

    The masks stay as they are. Layer by layer, with inputs from the layers that are refitted already, the kept weights
    and the bias are those of the least squares. So masks that come from elsewhere, such as a lottery ticket or N:M
    masks of another tool, gain what `prune_weights(reconstruct=x)` gains, without labels and without training.

    Args:
        model: A model with masks. As in `wrap_pruning` a copy is returned and the model is left unchanged, except that
            a subclassed model is changed in place.
        data: Data, in the forms that `prune_weights` takes; targets are not needed.
        original: The model whose outputs are wanted, usually the dense one, with the layers of `model`, by name. It is
            only read.
        prune_frozen: Whether weights that are not trainable are refitted too. Defaults to False.
        recalibrate: Whether the statistics of BatchNormalization layers are estimated again on the same data, see
            `prune_weights`. Defaults to False.

    Returns:
        The model with the same masks, and other weights.

    Raises:
        ValueError: A model without masks, an original of other layers, or data that do not fit.
        TypeError: An argument of another type.

    Example:

    ```python
    pruned = prune_weights(model, 0.5, selection=NByM(2, 4))
    better = refit(pruned, x, original=model)
    ```
    """
    for name, value in (("model", model), ("original", original)):
        if not isinstance(value, keras.Model):
            raise TypeError(f"`{name}` must be a Keras model. Received: {name}={value!r}")
    check_flag(prune_frozen, "prune_frozen")
    check_flag(recalibrate, "recalibrate")
    if not find_masked(model):
        raise ValueError(
            "`model` must have masks: pass what `prune_weights` or `wrap_pruning` returned, or copy masks with "
            f"`copy_masks`. Received: the model '{model.name}', which has none"
        )
    if original is model:
        raise ValueError("`original` must be another model than `model`, the dense one. Received: the same model")
    fitted = add_masks(model, layers=lambda layer: False)
    undo = unchanged([fitted])
    try:
        apply_masks(fitted)
        reconstruction = Reconstruction(fitted, original, data)
        weights = [each for each in find_masked(fitted) if each.weight.trainable or prune_frozen]
        reconstruction.run([id(each.mask) for each in weights], {})
        if recalibrate:
            reconstruction.recalibrate()
    except Exception:
        if fitted is model:
            undo()
        raise
    apply_masks(fitted)
    return fitted
