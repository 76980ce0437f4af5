"""`predict` and `Runner`: `.tflite` files in LiteRT, batch by batch. Nothing here needs TensorFlow or Keras."""

import functools
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tflite_export.arrays import call_sizes, join
from tflite_export.errors import require
from tflite_export.limits import TIMEOUT, Limits
from tflite_export.reader import flatbuffer
from tflite_export.runtime.calls import call_with_limits, values_decide
from tflite_export.runtime.ports import AT_ONCE, Ports
from tflite_export.runtime.trial_run import check_runs
from tflite_export.validation import check_flag


def predict(
    path: str | os.PathLike[str],
    inputs: Any,
    *,
    raw: bool = False,
    timeout: float | None = TIMEOUT,
    memory_limit: int | None = None,
) -> np.ndarray | list[np.ndarray]:
    """Run a `.tflite` file from any source on every sample of a batch.

    The file runs in this process, with one thread. The first time, its structure is checked and it runs once in a
    subprocess, so that a file that crashes LiteRT is an error here. A file in which values decide how long a call takes
    (loops) or how much memory always runs in a subprocess, within the limits.

    Quantized inputs and outputs (int8, say, with a scale) take and give real numbers: floating-point inputs are
    divided by the scale, rounded and clipped to the range of the integers, outputs are dequantized. Integer tensors
    without a scale, such as ids, are unchanged.

    Args:
        path: A `.tflite` file whose inputs have a batch axis, as `export` writes them. One with a fixed batch of n
            gets n samples at a time, the last ones filled up; one without, up to 32.
        inputs: An array (samples, ...). For a file with several inputs a list of arrays in the order of the
            Keras model's inputs, or a dict by signature names (`ExportReport.inputs`). For a quantized input
            floating-point numbers, or integers of its own type, which are taken as quantized already.
        raw: Whether to return quantized outputs as the integers that the file computes. Defaults to False.
        timeout: Seconds that loading the file, or one call of it in a subprocess, may take; None: no limit. Defaults
            to 120.
        memory_limit: Bytes that a subprocess may take for it (on Linux). Defaults to None: the memory of the machine.

    Returns:
        The output for all samples; a list of them, in the order of `ExportReport.outputs`, when there are
        several.

    Raises:
        ValueError: There is no such file, it is damaged, LiteRT cannot run it within the limits, or the inputs do not
            fit it.
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
    outputs = run(path, inputs, raw=check_flag(raw, "raw"), limits=Limits.checked(timeout, memory_limit))
    return outputs[0] if len(outputs) == 1 else outputs


def run(path: str | os.PathLike[str], inputs: Any, *, raw: bool = False, limits: Limits) -> list[np.ndarray]:
    """Return all outputs of a file for all samples. See `predict`."""
    require("ai_edge_litert")
    content = flatbuffer.load(path)
    check_runs(content, os.fspath(path), limits)
    call_all = None
    if values_decide(flatbuffer.read(content)):
        call_all = functools.partial(call_with_limits, content, limits=limits)
    try:
        return Runner(content).run(inputs, raw=raw, call_all=call_all)
    except RuntimeError as error:  # an id that no row of a table has, say
        raise ValueError(f"LiteRT must be able to run the file on these inputs. Received: {error}") from error


class Runner(Ports):
    """Loaded file.

    Args:
        model: The file, or its bytes.
        xnnpack: Whether LiteRT may delegate operators to XNNPACK, or must use its own kernels. Defaults to True.
        threads: How many threads an operator may use. Defaults to 1.
        before: Is called before each call. Defaults to what does nothing.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        *,
        xnnpack: bool = True,
        threads: int = 1,
        before: Callable[[], object] = lambda: None,
    ):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self.before = before
        source = {"model_content": model} if isinstance(model, bytes) else {"model_path": os.fspath(model)}
        resolver = OpResolverType.BUILTIN if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        self._interpreter = Interpreter(**source, num_threads=threads, experimental_op_resolver_type=resolver)
        self._interpreter.allocate_tensors()
        super().__init__(self._interpreter.get_input_details(), self._interpreter.get_output_details())

    def run(
        self,
        inputs: Any,
        *,
        raw: bool = False,
        sizes: Sequence[int] | None = None,
        call_all: Callable[[list[list[np.ndarray]]], list[list[np.ndarray]]] | None = None,
    ) -> list[np.ndarray]:
        """Return all outputs for all samples. See `predict`; `sizes` as in `calls`; `call_all` runs them elsewhere."""
        batches = self.batches(inputs)
        sizes = call_sizes(len(batches[0]), self.batch or AT_ONCE) if sizes is None else sizes
        calls = self.calls(batches, sizes)
        results = [self.call(values) for values in calls] if call_all is None else call_all(calls)
        outputs = join(results, sizes, self.batch)
        return outputs if raw else self.real(outputs)

    def call(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the outputs of one call, as the file stores them, for inputs of any shapes."""
        self.before()
        self.set(values)
        self.invoke()
        return [self._interpreter.get_tensor(detail["index"]) for detail in self._outputs]

    def set(self, values: Sequence[np.ndarray]) -> None:
        """Set the inputs of the next calls."""
        if any(tuple(detail["shape"]) != value.shape for detail, value in zip(self._inputs, values, strict=True)):
            for detail, value in zip(self._inputs, values, strict=True):
                self._interpreter.resize_tensor_input(detail["index"], value.shape, strict=True)
            self._interpreter.allocate_tensors()
            self._inputs = self._interpreter.get_input_details()
        for detail, value in zip(self._inputs, values, strict=True):
            self._interpreter.set_tensor(detail["index"], value)

    def latencies(self, *, runs: int = 100, seconds: float = 1.0) -> list[float]:
        """Time calls on the inputs set last: the seconds of `runs` of them, fewer when they are slow."""
        return time_calls([self], runs=runs, seconds=seconds, before=self.before)[0]

    def invoke(self) -> None:
        """Run one call on the inputs set last."""
        self._interpreter.invoke()

    def names(self) -> list[str]:
        """Return the inputs' names in the signature; in a file without one, those of the tensors."""
        return self._named(self._inputs, "get_input_details")

    def output_names(self) -> list[str]:
        """Return the outputs' names, likewise."""
        return self._named(self._outputs, "get_output_details")

    def _named(self, listed: Sequence[Mapping[str, Any]], details: str) -> list[str]:
        for key in self._interpreter.get_signature_list():
            signature = getattr(self._interpreter.get_signature_runner(key), details)()
            names = {detail["index"]: name for name, detail in signature.items()}
            return [names.get(detail["index"], detail["name"]) for detail in listed]
        return [detail["name"] for detail in listed]


def time_calls(
    runners: Sequence[Runner],
    *,
    runs: int,
    seconds: float = math.inf,
    before: Callable[[], object] = lambda: None,
) -> list[list[float]]:
    """Time single calls on the inputs that each runner got last.

    They take turns, so that a machine that slows down does so for all of them, each time in another order.

    Args:
        runners: The loaded files.
        runs: How many calls of each count; some more warm up.
        seconds: About how long to go on at most; five calls of each are made in any case. Defaults to no limit.
        before: Is called before each call, and not timed. Defaults to what does nothing.

    Returns:
        For each runner the seconds of each call.
    """
    end = time.perf_counter() + 2 * seconds
    times: list[list[float]] = [[] for _ in runners]
    warm_up, turn = max(3, runs // 10), 0
    while turn < warm_up + min(5, runs) or (turn < warm_up + runs and time.perf_counter() < end):
        for place in range(len(runners)):
            place = (place + turn) % len(runners)
            before()
            start = time.perf_counter()
            runners[place].invoke()
            times[place].append(time.perf_counter() - start)
        turn += 1
    return [each[warm_up:] for each in times]
