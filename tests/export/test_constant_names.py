"""Constants that the converter left without names."""

import numpy as np
import pytest

from tflite_export.reader.constant_names import name_constants
from tflite_export.reader.tensors import Tensor


def tensors(constants, others=()):
    none = np.zeros(0)
    made = [(name, np.zeros(4, "uint8")) for name in constants] + [(name, None) for name in others]
    return [Tensor(name, (1,), "float32", data, none, none, 0, False, None, 0) for name, data in made]


def names(found, count):
    return [tensor.name for tensor in found[:count]]


DENSE = "net/dense/MatMul;net/dense/Relu;net/dense/BiasAdd"


@pytest.mark.parametrize("made", [DENSE, DENSE + "3"])
def test_weights_and_biases_are_named_by_what_is_computed_from_them(made):
    found = name_constants(tensors(["arith.constant7", "arith.constant"], ["x", made]), [((2, 0, 1), (3,))])
    assert names(found, 2) == ["net/dense/MatMul", made.split(";")[-1]]


def test_through_an_operator_that_makes_the_weight():
    given = tensors(["arith.constant"], ["arith.constant1", "x", DENSE])
    found = name_constants(given, [((0,), (1,)), ((2, 1, -1), (3,))])
    assert [tensor.name for tensor in found] == ["net/dense/MatMul", "arith.constant1", "x", DENSE]


def test_names_that_are_there_stay():
    given = tensors(["net/dense/kernel", "arith.constants"], ["x", DENSE])
    assert name_constants(given, [((2, 0, 1), (3,))]) == tuple(given)


def test_where_the_result_has_no_name_either():
    given = tensors(["arith.constant2"], ["x", "StatefulPartitionedCall_1:0"])
    assert name_constants(given, [((1, 0), (2,))]) == tuple(given)
    assert name_constants(given, []) == tuple(given)
