"""Several `fit`s in one process that take turns, so that their speeds can be compared on a machine that drifts.

Each `fit` is a single long one, as a user's is, in a thread of its own. A callback holds it at the start of a step
until it has its turn, so one thread works while the others sleep. A turn is 10 steps: what disturbs the machine for
longer than that hits all models alike. Why not one short `fit` after the other? Each would begin with fixed costs, and
with the mask update that `PruningSchedule` makes up for at every start; and turns would be ten times as long.

The turns are handed over in the middle between two mask updates (`OFFSET`), so that an update, and what it leaves to
the step after it, are in the same turn. A round is 100 steps of each model: one update, or ten. It is one epoch: with
several pipelines in one process, TensorFlow may take seconds to throw one away, as Keras does at an epoch's end.

Two models that are the same still differ as long as they live, by a few percent and on torch by up to a fifth; probably
through where their arrays lie in memory. So each round has its own subprocesses, and two dense models, which show how
much that is. Their mean is what pruned ones are compared with.
"""

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

TURN, ROUND = 10, 100
FREQUENCIES = (100, 10)  # steps between mask updates: a round holds whole intervals of each
OFFSET = TURN // 2
WARM_UP = OFFSET + 2 * TURN  # steps before the round: compiling, and two of the frequent updates
STEPS = WARM_UP + ROUND  # of each model in a process
DENSE, AGAIN = "dense", "dense again"


class Cost(NamedTuple):
    """What some steps took: the time that passed, and the time of processors, which a busy machine hardly changes."""

    seconds: float
    cpu: float


def _now() -> Cost:
    return Cost(time.perf_counter(), time.process_time())


class PausedFit:
    """A call of `fit` that runs some steps at a time.

    Args:
        fit: The call, with `holding_callback` among its callbacks. It must be for more steps than will be asked for.
        settle: Waits until the steps are really done, where the backend runs ahead of Python.
    """

    def __init__(self, fit: Callable[["PausedFit"], Any], settle: Callable[[], Any] = lambda: None):
        self._fit, self._settle = fit, settle
        self._left, self._since = 0, _now()
        self._resume = threading.Semaphore(0)
        self._paused: queue.SimpleQueue[Cost | BaseException] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def take_turn(self, steps: int) -> Cost:
        """Runs this many steps and returns what they took."""
        self._left = steps
        if self._thread.is_alive():
            self._resume.release()
        else:
            self._thread.start()
        outcome = self._paused.get()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def before_step(self) -> None:
        """To be called by the callback, in the thread of `fit`."""
        if self._left == 0:
            self._settle()
            now = _now()
            self._paused.put(Cost(now.seconds - self._since.seconds, now.cpu - self._since.cpu))
            self._resume.acquire()
            self._since = _now()
        self._left -= 1

    def _work(self) -> None:
        self._since = _now()
        try:
            self._fit(self)
            raise RuntimeError("`fit` ended before its last turn")
        except BaseException as error:  # it belongs to the thread that waits
            self._paused.put(error)


def holding_callback(keras: Any, fit: PausedFit) -> Any:
    """The callback that holds `fit`. Dense and pruned models both have it, pruned ones after the callback that prunes.

    It acts at the start of steps, since a callback that acts at their end would change the dense `fit`: Keras 3 then
    no longer handles the logs in the background. Where `PruningSchedule` loses that, it counts as its cost.

    Args:
        keras: The module `keras` or `tf_keras`.
        fit: What to hold.
    """

    class Hold(keras.callbacks.Callback):
        _supports_tf_logs = True  # tf_keras: no logs are copied for it

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            fit.before_step()

    return Hold()


def warm_up(fits: Mapping[str, PausedFit]) -> None:
    """Compiles the models and brings each to where its round begins."""
    for fit in fits.values():
        fit.take_turn(OFFSET)
    run_turns(fits, WARM_UP - OFFSET)


def run_turns(fits: Mapping[str, PausedFit], steps: int = ROUND) -> dict[str, Cost]:
    """Runs this many steps of each, turn by turn, and returns what they took."""
    costs = dict.fromkeys(fits, Cost(0.0, 0.0))
    order = list(fits)
    for _ in range(steps // TURN):
        for name in order:
            turn = fits[name].take_turn(TURN)
            costs[name] = Cost(costs[name].seconds + turn.seconds, costs[name].cpu + turn.cpu)
        order.append(order.pop(0))  # nobody always follows the same one, nor itself
    return costs
