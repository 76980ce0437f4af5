"""Pruning for Keras 3: masks applied while `fit` runs, and channels that really go away; on every backend.

The public names are those of `__init__.pyi`. Each is imported when it is first asked for, so that importing this
package costs little.
"""

import importlib
import importlib.abc
import importlib.util
import sys
from typing import Any

import lazy_loader

from keras_prune._version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
# The classes that `.keras` files may name: of models with masks, and of models that were written out.
_REGISTERS = (f"{__name__}.masking", f"{__name__}.graph.leaf_layers")


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Registers those classes as soon as Keras is there, since `keras.saving.load_model` finds only what is registered.

    Importing Keras here instead would take seconds of those who do not need it, such as `keras-prune --help`.
    """

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                load(module)
                # Not while one of the rooms that `masking` stands on is the one that imports Keras.
                if not any(f"{__name__}.{room}" in sys.modules for room in ("_keras", "graph")):
                    _register()

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _register() -> None:
    for module in _REGISTERS:
        importlib.import_module(module)


if "keras" in sys.modules:
    _register()
else:
    sys.meta_path.insert(0, _AfterKeras())
