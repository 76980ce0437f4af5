"""How long a call takes."""

import gc
import time
from collections.abc import Callable
from typing import Any


def timed(action: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[dict[str, float], Any]:
    """Calls `action` and returns what it took, `seconds` and `cpu` (of processors), and what it returned.

    Garbage of what was measured before is collected first: some calls would have to pay for others.
    """
    gc.collect()
    start, cpu = time.perf_counter(), time.process_time()
    result = action(*args, **kwargs)
    return {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}, result
