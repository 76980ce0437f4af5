"""Runs `.tflite` files with LiteRT, one sample at a time. Nothing here needs TensorFlow or Keras."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tflite_export.arrays import as_batch, is_list_of_batches, join, same_length
from tflite_export.errors import require


def predict(path: str | os.PathLike[str], inputs: Any) -> np.ndarray | list[np.ndarray]:
    """Runs a `.tflite` file on every sample of a batch.

    The file runs in this process, with one thread. Files that `export` wrote have been run in a process of
    their own before; one from elsewhere that crashes LiteRT ends this process.

    Args:
        path: A `.tflite` file whose inputs have a batch of one, as `export` writes them.
        inputs: An array (samples, ...). For a file with several inputs a list of arrays in the order of the
            Keras model's inputs, or a dict by signature names (`ExportReport.inputs`).

    Returns:
        The output for all samples; a list of them, in the order of `ExportReport.outputs`, when there are
        several.

    Raises:
        ValueError: There is no such file, or the inputs do not fit it.
        ImportError: ai-edge-litert is not installed.

    Example:

    ```python
    import keras
    import numpy as np
    import tflite_export

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3, activation="softmax")])
    tflite_export.export(model, "model.tflite")
    x = np.random.rand(100, 8)
    labels = tflite_export.predict("model.tflite", x).argmax(-1)
    ```
    """
    require("ai_edge_litert")
    if not Path(path).is_file():
        raise ValueError(f"`path` must be a .tflite file. Received: {os.fspath(path)!r}")
    outputs = Runner(path).run(inputs)
    return outputs[0] if len(outputs) == 1 else outputs


class Runner:
    """A loaded file.

    Args:
        path: The file.
        xnnpack: Whether LiteRT may hand operators to XNNPACK, as it does by default, or must use its own
            kernels.
    """

    def __init__(self, path: str | os.PathLike[str], *, xnnpack: bool = True):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        resolver = OpResolverType.BUILTIN if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        self._interpreter = Interpreter(
            model_path=os.fspath(path), num_threads=1, experimental_op_resolver_type=resolver
        )
        self._interpreter.allocate_tensors()
        self._inputs = self._interpreter.get_input_details()
        self._outputs = [detail["index"] for detail in self._interpreter.get_output_details()]

    def run(self, inputs: Any) -> list[np.ndarray]:
        """All outputs for all samples. See `predict`."""
        batches = self._batches(inputs)
        interpreter, calls = self._interpreter, []
        for i in range(len(batches[0])):
            for detail, batch in zip(self._inputs, batches, strict=True):
                interpreter.set_tensor(detail["index"], batch[i : i + 1])
            interpreter.invoke()
            calls.append([interpreter.get_tensor(index) for index in self._outputs])
        return join(calls)

    def latencies(self, *, runs: int = 100, seconds: float = 1.0) -> list[float]:
        """Seconds that single calls on the inputs set last take: `runs` of them, fewer when they are slow."""
        end = time.perf_counter() + 2 * seconds
        times: list[float] = []
        warm_up = max(3, runs // 10)
        while len(times) < warm_up + 5 or (len(times) < warm_up + runs and time.perf_counter() < end):
            start = time.perf_counter()
            self._interpreter.invoke()
            times.append(time.perf_counter() - start)
        return times[warm_up:]

    def _batches(self, inputs: Any) -> list[np.ndarray]:
        names, shapes = self._names(), [[int(size) for size in detail["shape"]] for detail in self._inputs]
        for name, shape in zip(names, shapes, strict=True):
            if not shape or shape[0] != 1:
                raise ValueError(f"The inputs must have a batch of one. Received: {name!r} of shape {shape}")
        if isinstance(inputs, Mapping):
            if set(inputs) != set(names):
                raise ValueError(f"The file's inputs are {names}. Received: a dict of {list(inputs)}")
            values = [inputs[name] for name in names]
        elif len(names) > 1 or is_list_of_batches(inputs, len(shapes[0])):
            values = list(inputs)
        else:
            values = [inputs]
        if len(values) != len(names):
            raise ValueError(f"The file's inputs are {names}. Received: {len(values)} arrays")
        batches = [
            as_batch(value, shape[1:], np.dtype(detail["dtype"]).name, name)
            for value, shape, detail, name in zip(values, shapes, self._inputs, names, strict=True)
        ]
        same_length(batches)
        return batches

    def _names(self) -> list[str]:
        """The inputs' names in the signature; in a file without one, those of the tensors."""
        for key in self._interpreter.get_signature_list():
            details = self._interpreter.get_signature_runner(key).get_input_details()
            names = {detail["index"]: name for name, detail in details.items()}
            return [names[detail["index"]] for detail in self._inputs]
        return [detail["name"] for detail in self._inputs]
