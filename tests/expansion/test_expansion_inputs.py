"""What models take: structures, types, fixed and unknown sizes; and what `expand` refuses, without a change."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support import any_models

import keras_prune as kp

pytestmark = pytest.mark.core


class Pyramid(keras.Model):
    """Takes images of any size."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.stem, self.body = layers.Conv2D(4, 3, 2, padding="same"), any_models.ResidualUnit(4)

    def call(self, images):
        x = self.stem(images)
        return ops.mean(self.body(x), (1, 2))


class Words(keras.Model):
    """A graph with a constructor, for texts of any length, whose code takes the length as a number."""

    def __init__(self, block, **kwargs):
        ids = keras.Input((None,), dtype="int32", name="token_ids")
        super().__init__(ids, block(layers.Embedding(9, 8)(ids)), **kwargs)


class InPairs(layers.Layer):
    """Its code divides the length."""

    def call(self, x):
        length = ops.shape(x)[1]
        return ops.reshape(x, (ops.shape(x)[0], length // 2, 2 * x.shape[2]))

    def compute_output_shape(self, shape):
        return shape[0], None, 2 * shape[2]


def images(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_sizes_that_are_unknown_stay_unknown_where_the_code_allows():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, layers.Dense(2)(Pyramid()(inputs)))
    made = kp.expand(model)
    assert made.input_shape == (None, None, None, 3)
    any_models.assert_same(model, made, images(2, 8, 8, 3), images(3, 10, 6, 3))


def test_sizes_fix_what_the_code_takes_as_numbers():
    model = Words(any_models.Block(8))
    assert kp.expand(model).input_shape == (None, None)
    for sizes in ({"token_ids": 6}, {"token_ids": (6,)}):
        made = kp.expand(model, sizes=sizes)
        assert made.input_shape == (None, 6)
        any_models.assert_same(model, made, np.ones((3, 6), "int32"))


def test_the_report_says_which_sizes_to_give():
    model = Words(InPairs(name="pairs"))
    report = kp.expansion.report(kp.expand(model))
    assert [layer.path for layer in report.whole] == ["pairs"]
    assert report.remarks[-1].endswith('give them, as in `keras_prune.expand(model, sizes={"token_ids": 128})`.')
    made = kp.expand(model, sizes={"token_ids": 6})
    assert kp.expansion.report(made).whole == kp.expansion.report(made).remarks == ()
    any_models.assert_same(model, made, np.ones((3, 6), "int32"))


class OfSamples(layers.Layer):
    """Adds other numbers to each of four samples."""

    def call(self, x):
        return x + ops.reshape(ops.arange(4.0), (4, 1))


def test_a_fixed_batch_size_is_kept_in_mind():
    inputs = keras.Input(batch_shape=(4, 6))
    model = keras.Model(inputs, any_models.FeedForward(6)(OfSamples()(inputs)))
    any_models.assert_same(model, kp.expand(model), images(4, 6))


def test_integers_need_an_example():
    class Tokens(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding, self.block = layers.Embedding(9, 8), any_models.Block(8)

        def call(self, ids):
            return self.block(self.embedding(ids))

    model = any_models.called(Tokens(), (5,), dtype="int32")
    made = kp.expand(model, example=np.zeros((1, 5), "int32"))
    assert made.inputs[0].dtype == "int32"
    any_models.assert_same(model, made, np.arange(10, dtype="int32").reshape(2, 5) % 9)


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_examples_of_other_floats(dtype):
    model = any_models.called(any_models.Around(), (8,))
    made = kp.expand(model, example=np.zeros((1, 8), dtype))
    any_models.assert_same(model, made, images(3, 8).astype(dtype))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = any_models.functional(keras.Sequential([any_models.Kept(6), any_models.Twice()]), (5,))
    finally:
        keras.config.set_dtype_policy("float32")
    made = kp.expand(model)
    assert made.output.dtype == model.output.dtype == policy.partition("_")[2]
    assert {variable.dtype for variable in made.trainable_variables} == {"float32"}
    any_models.assert_same(model, made, images(3, 5), rtol=0.05, atol=0.05)


class Unbuilt(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(2)

    def call(self, x):
        return self.dense(x)


class TwoArguments(Unbuilt):
    def call(self, x, y=None):
        return self.dense(x if y is None else x + y)


def given():
    return any_models.called(Unbuilt(name="given"), (3,))


def masked():
    return kp.wrap_pruning(keras.Sequential([keras.Input((3,)), layers.Dense(2)], name="given"))


def words():
    return Words(any_models.Block(8))


REFUSED = {
    "no model": (TypeError, lambda: layers.Dense(2, name="given"), {}, "Dense"),
    "not built": (ValueError, lambda: Unbuilt(name="given"), {}, "'given'"),
    "never called": (ValueError, lambda: keras.Sequential([layers.Dense(2)], name="given"), {}, "'given'"),
    "masked": (ValueError, masked, {}, "'given'"),
    "another input": (ValueError, given, {"sizes": {"words": 3}}, r"\['words'\]"),
    "another size": (ValueError, given, {"sizes": {"inputs": 4}}, "4"),
    "not a size": (ValueError, words, {"sizes": {"token_ids": -3}}, "-3"),
    "two sizes for one": (ValueError, words, {"sizes": {"token_ids": (3, 4)}}, r"\(3, 4\)"),
    "part of a size": (ValueError, words, {"sizes": {"token_ids": 3.5}}, "3.5"),
    "a Boolean size": (ValueError, words, {"sizes": {"token_ids": True}}, "True"),
    "no sizes": (TypeError, given, {"sizes": 128}, "128"),
    "an example of text": (TypeError, given, {"example": "text"}, "'text'"),
    "an example of others": (ValueError, given, {"example": np.zeros((2, 7), "float32")}, "'given'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused(name):
    error, make, arguments, received = REFUSED[name]
    with pytest.raises(error, match=f"Received: (.*){received}"):
        kp.expand(make(), **arguments)


class OfTwo(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, x, other):
        return self.dense(x) + other


def test_a_call_of_several_arguments_is_refused():
    model = OfTwo()
    model(np.ones((2, 4), "float32"), np.ones((2, 3), "float32"))
    with pytest.raises(ValueError, match="Received: 'of_two' of class OfTwo, whose `call` also takes other"):
        kp.expand(model)
