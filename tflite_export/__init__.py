"""Keras 3 models as `.tflite` files whose numbers were checked.

The public names are those of `__init__.pyi`. Importing this package is cheap: TensorFlow, Keras and LiteRT are imported
on use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
