"""Values inside a model are what the whole model computes, wherever they are computed from."""

import keras
import numpy as np
import pytest
from keras import ops
from support.sentences import each, flat, functional, mean, reader, sentences

from keras_prune.graph.structure import Structure
from keras_prune.measurement.flat_copy import make_runnable
from keras_prune.reconstruction.frontier import Frontier

pytestmark = [pytest.mark.core, pytest.mark.filterwarnings("ignore:Layer 'flatten'")]


@pytest.mark.parametrize("end", [mean, each, flat])
def test_masks_go_with_what_is_held(end):
    model, x = reader(functional, end), sentences(20)
    structure = Structure(model)
    copy = make_runnable(model, {id(node.operation): structure.path(node) for node in structure.nodes})
    tensors = [step.outputs[0][1] for step in copy.steps]
    whole = keras.Model(copy.model.input, tensors)(x, training=False)
    values, counted = Frontier(copy.model), sentences(20) > 0
    for tensor, wanted in zip(tensors, map(ops.convert_to_numpy, whole), strict=True):
        (found,) = values.values([tensor], x)
        if found.dtype == bool:
            np.testing.assert_array_equal(found, wanted)
            continue
        rows = counted if found.ndim == 3 and end is not flat else slice(None)
        np.testing.assert_allclose(found[rows], wanted[rows], rtol=1e-4, atol=1e-5)
