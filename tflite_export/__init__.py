"""Export of Keras 3 models to `.tflite` files whose outputs were checked, and tools for such files.

The public names are those of `__init__.pyi`. Importing this package is cheap: TensorFlow, Keras and LiteRT are imported
on use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
