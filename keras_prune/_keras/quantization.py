"""What `keras.Model.quantize` passes over, and which layers the user leaves out of it."""

import sys
from types import FrameType
from typing import Any

import keras

try:
    from keras.src.quantizers.utils import should_quantize_layer
except ImportError:  # Keras 3.12 and earlier quantise every layer

    def should_quantize_layer(layer: keras.Layer, filters: Any) -> bool:
        return True


def is_left_out(layer: keras.Layer) -> bool:
    """Whether the `quantize` of a model that is now running leaves this layer out, by its argument `filters`.

    It tells no layer, so it is read from the stack.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code is keras.Model.quantize.__code__:
            return not should_quantize_layer(layer, frame.f_locals.get("filters"))
        frame = frame.f_back
    return False
