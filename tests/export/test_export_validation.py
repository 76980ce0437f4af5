"""The checks of arguments, alone: no model, no file."""

import math

import numpy as np
import pytest

from tflite_export.validation import check_choice, check_integer, check_number, check_subset, is_integer


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_integers_become_ints(value):
    assert is_integer(value, 3)
    assert not is_integer(value, 4)
    found = check_integer(value, "samples", 1)
    assert (found, type(found)) == (3, int)


@pytest.mark.parametrize(
    "value", [0, -1, 2.0, 2.5, np.float32(3), True, np.True_, "3", None, math.nan, math.inf, [3], 3j]
)
def test_what_is_no_integer(value):
    with pytest.raises(ValueError, match=r"^`n` must be an integer of at least 1\. Received: n="):
        check_integer(value, "n", 1)


@pytest.mark.parametrize("value", [0, 0.5, np.float32(0.5), np.int8(2)])
def test_numbers_become_floats(value):
    found = check_number(value, "tolerance", 0)
    assert (found, type(found)) == (value, float)


@pytest.mark.parametrize("value", [-1e-9, math.nan, math.inf, True, "1", None, [1.0]])
def test_what_is_no_number(value):
    with pytest.raises(ValueError, match=r"^`t` must be a number of at least 0\. Received: t="):
        check_number(value, "t", 0)


def test_choices():
    for value in ("auto", True, None):
        assert check_choice(value, "sparse", ("auto", True, None)) is value
    for value in ("yes", 1, 1.0, False, ["auto"], np.zeros(2)):  # 1 == True, but it is no boolean
        with pytest.raises(ValueError, match=r"^`sparse` must be one of \['auto', True, None\]\. Received: sparse="):
            check_choice(value, "sparse", ("auto", True, None))
    with pytest.raises(ValueError, match=r"one of \['a'\] here\. Received: x='b'"):
        check_choice("b", "x", ("a",), " here")


def test_subsets():
    assert check_subset(["flex"], "allow", ("flex", "custom")) == ("flex",)
    assert check_subset((), "allow", ("flex",)) == ()
    assert set(check_subset({"flex", "custom"}, "allow", ("flex", "custom"))) == {"flex", "custom"}
    for value in ("flex", ("all",), 3, None, [["flex"]]):
        with pytest.raises(ValueError, match=r"^`allow` must be a tuple of some of \['flex'\]\. Received: allow="):
            check_subset(value, "allow", ("flex",))
