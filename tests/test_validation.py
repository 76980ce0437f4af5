"""Checks of arguments: what counts as a number, and what the messages say."""

import fractions
import math
import re

import numpy as np
import pytest

from keras_prune.validation import (
    check_choice,
    check_fraction,
    check_integer,
    check_number,
    check_pair,
    check_sparsity,
    check_step,
    is_fraction,
    is_integer,
    is_number,
    part,
)

NO_NUMBERS = [
    True,
    False,
    np.True_,
    math.nan,
    math.inf,
    -math.inf,
    np.float32("nan"),
    "3",
    "",
    b"3",
    None,
    [3],
    (3,),
    {},
]
INTEGERS = [3, np.int8(3), np.uint64(3)]
WHOLE = [*INTEGERS, 3.0, np.float16(3), np.float64(3.0), fractions.Fraction(3)]


@pytest.mark.parametrize("bad", NO_NUMBERS, ids=repr)
def test_what_is_no_number_is_refused_by_each_check(bad):
    assert not any(check(bad) for check in (is_number, is_integer, is_fraction))
    for check in (check_integer, check_step, check_number, check_fraction, check_sparsity):
        with pytest.raises(ValueError, match=rf"^`size` must be an? .*\. Received: size={re.escape(repr(bad))}$"):
            check(bad, "size")


@pytest.mark.parametrize("value", WHOLE, ids=repr)
def test_steps_may_be_any_whole_number_and_counts_are_integers(value):
    assert is_number(value)
    assert type(check_step(value, "size", minimum=3)) is int
    assert type(check_number(value, "size")) is float
    assert check_step(value, "size") == check_number(value, "size") == 3
    with pytest.raises(ValueError, match=r"`size` must be a whole number of at least 4\. Received: size="):
        check_step(value, "size", minimum=4)
    if value in INTEGERS and isinstance(value, int | np.integer):
        assert is_integer(value, 3)
        assert not is_integer(value, 4)
        assert type(check_integer(value, "size", minimum=3, maximum=3)) is int
    else:
        assert not is_integer(value)
        with pytest.raises(ValueError, match=r"`size` must be an integer of at least 0\. Received: size="):
            check_integer(value, "size")


@pytest.mark.parametrize(
    ("value", "limits", "allowed"),
    [
        (-1, {}, "of at least 0"),
        (2.5, {}, "of at least 0"),
        (0, {"minimum": 1}, "of at least 1"),
        (1e-9, {"minimum": -5}, "of at least -5"),
        (9, {"minimum": 1, "maximum": 8}, "from 1 to 8"),
    ],
)
def test_integers_out_of_range(value, limits, allowed):
    message = f"`steps` must be an integer {allowed}. Received: steps={value!r}"
    with pytest.raises(ValueError, match=re.escape(message) + "$"):
        check_integer(value, "steps", **limits)


@pytest.mark.parametrize(
    ("value", "limits", "allowed"),
    [
        (math.nan, {}, "finite number"),
        (-0.1, {"minimum": 0}, "number of at least 0"),
        (0, {"minimum": 0, "above": True}, "number above 0"),
        (0.0, {"minimum": 0, "maximum": 1, "above": True}, "number in (0, 1]"),
        (1.5, {"minimum": 0, "maximum": 1}, "number in [0, 1]"),
    ],
)
def test_numbers_out_of_range(value, limits, allowed):
    message = f"`drop` must be a {allowed}. Received: drop={value!r}"
    with pytest.raises(ValueError, match=re.escape(message) + "$"):
        check_number(value, "drop", **limits)


def test_ends_of_ranges_are_allowed_where_they_belong_to_them():
    assert check_number(0, "a", minimum=0) == 0
    assert check_number(1, "a", 0, 1, above=True) == 1
    assert check_number(-7.5, "a") == -7.5
    assert check_fraction(0, "a") == check_sparsity(0) == 0
    assert check_fraction(np.float32(0.5), "a", zero=False) == check_sparsity(np.float32(0.5)) == 0.5
    assert type(check_fraction(np.float32(0.5), "a")) is type(check_sparsity(np.float32(0.5))) is float
    for value in (1, 1.0, -1e-9, 2):
        with pytest.raises(ValueError, match=r"in \[0, 1\)\. Received: a="):
            check_fraction(value, "a")
        with pytest.raises(ValueError, match=r"`sparsity` must be a number in \[0, 1\): .*Received: sparsity="):
            check_sparsity(value)
    with pytest.raises(ValueError, match=r"in \(0, 1\)\. Received: a=0"):
        check_fraction(0, "a", zero=False)


def test_a_sparsity_may_be_an_array_of_one_number():
    assert check_sparsity(np.array(0.25)) == 0.25


@pytest.mark.parametrize("good", [(4, 1), [4, 1], (np.int32(4), np.int64(1))], ids=repr)
def test_pairs(good):
    found = check_pair(good, "shape", minimum=1)
    assert found == (4, 1)
    assert [type(each) for each in found] == [int, int]


@pytest.mark.parametrize(
    "bad", [4, (4,), (4, 1, 1), (4, 0), (4.0, 1), (4, 1.5), (4, True), (4, "1"), "41", b"41", None], ids=repr
)
def test_bad_pairs(bad):
    message = f"`shape` must be two integers of at least 1. Received: shape={bad!r}"
    with pytest.raises(ValueError, match=re.escape(message) + "$"):
        check_pair(bad, "shape", minimum=1)


def test_choices():
    assert check_choice("max", "mode", ("min", "max")) == "max"
    assert check_choice(None, "mode", (None, "min")) is None
    for bad in ("up", "", None, 1, True, ["min"], np.zeros(2)):
        with pytest.raises(ValueError, match=r"`mode` must be one of \['min', 'max'\]\. Received: mode="):
            check_choice(bad, "mode", ("min", "max"))
    with pytest.raises(ValueError, match="Received: level=True"):
        check_choice(True, "level", (0, 1))  # equal to 1, but another kind of thing


def test_parts_are_rounded_down_but_not_below_what_was_meant():
    assert part(0.7, 10) == 7
    assert [part(0.29, 100), part(0.5, 3), part(0.0, 5)] == [29, 1, 0]
    assert int(0.29 * 100) == 28  # what plain arithmetic makes of it
