"""Random graphs: plain descriptions that Hypothesis draws and shrinks, and the models that they describe.

A `Graph` is a list of steps. Each takes the newest tensor, and perhaps an older one, and makes the next, so any list of
steps is a valid model, and fewer steps or smaller numbers make a simpler one. The description of a failing graph is a
Python expression: `Graph("image", [Step("conv", 4)]).build()` gives the model.
"""

import dataclasses

import keras
from hypothesis import strategies as st
from support.random_blocks import BLOCKS, INPUTS, dense, flatten

MOST_STEPS = 5


@dataclasses.dataclass(frozen=True)
class Step:
    """One block.

    Args:
        block: Its name in BLOCKS, after the number of dimensions that it works on.
        width: Of the channels that it makes.
        back: Which older tensor it reads as well, counted from the newest; modulo their number.
        option: Which variety of the block; modulo the number that there are.
    """

    block: str
    width: int = 2
    back: int = 0
    option: int = 0


@dataclasses.dataclass(frozen=True)
class Graph:
    """A model as data: what it reads, the steps, and whether the last tensor before the head is an output too."""

    inputs: str
    steps: list[Step]
    second_output: bool = False

    def build(self):
        """The Keras model."""
        inputs, tensor = INPUTS[self.inputs]()
        older = [tensor]
        for number, step in enumerate(self.steps):
            block = BLOCKS[len(tensor.shape)].get(step.block)
            if block is None:  # a block for other dimensions: Hypothesis took out the step that changed them
                continue
            alike = [each for each in older if len(each.shape) == len(tensor.shape)]
            other = alike[-1 - step.back % len(alike)]
            tensor = block(tensor, other, step.width, step.option, f"{step.block}{number}")
            older.append(tensor)
        outputs = [dense(flatten(tensor), 3, name="out")]
        if self.second_output:
            outputs.append(tensor)
        return keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0])


@st.composite
def graphs(draw):
    """Descriptions of models. Widths are even more often than not, as grouped and split channels need them."""
    inputs = draw(st.sampled_from(sorted(INPUTS)))
    rank = {"vector": 2, "pair": 2, "sequence": 3, "tokens": 3, "image": 4}[inputs]
    steps = []
    for _ in range(draw(st.integers(1, MOST_STEPS))):
        block = draw(st.sampled_from(sorted(BLOCKS[rank])))
        width = draw(st.sampled_from([2, 3, 4, 6]))
        steps.append(Step(block, width, draw(st.integers(0, 3)), draw(st.integers(0, 3))))
        rank = {"to_vector": 2, "to_sequence": 3, "to_image": 4}.get(block, rank)
    return Graph(inputs, steps, draw(st.booleans()))


def arguments():
    """What `prune_channels` is asked for."""
    common = {
        "scope": st.sampled_from(["group", "global", "isomorphic"]),
        "importance": st.sampled_from(["l2", "l1", "random", "batch_norm_scale"]),
        "round_to": st.sampled_from([1, 1, 2]),
    }
    fraction = st.sampled_from([0.25, 0.5, 0.75])
    goal = st.sampled_from(["macs", "params"])
    by_ratio = st.fixed_dictionaries({"ratio": fraction, **common})
    by_budget = st.fixed_dictionaries({"budget": st.tuples(goal, st.sampled_from([0.9, 0.75])), **common})
    return st.one_of(by_ratio, by_ratio, by_ratio, by_budget)
