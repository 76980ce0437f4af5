"""Small models for the `keras.ops` through which channels can be removed: see test_channel_rules.py."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.versions import call_if_there, is_keras, require_keras

from keras_prune.expansion import Weight


def branches(*functions, count=1, shape=(4, 5), units=8):
    """Each function of one tensor, or of several, that this Keras has, and a reader of all that they return."""
    inputs = keras.Input(shape)
    made = [layers.Dense(units, activation="sigmoid", name=f"before{index}")(inputs) for index in range(count)]
    found = []
    for function in functions:
        for each in keras.tree.flatten(call_if_there(function, *made, otherwise=[])):
            each = ops.cast(each, "float32")
            found.append(each if len(each.shape) == 2 else layers.Flatten()(each))
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Concatenate()(found)))


def chain(*functions, shape=(4, 4, 5), units=8):
    """One function after the other, of those that this Keras has."""
    inputs = keras.Input(shape)
    x = layers.Dense(units, activation="sigmoid", name="before")(inputs)
    for function in functions:
        x = call_if_there(function, x, otherwise=x)
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x)))


def functions_of_one_number():
    names = """
        absolute angle arccos arcsin arcsinh arctan arctanh cbrt ceil conj copy cos cosh deg2rad exp exp2 expm1 fabs
        floor i0 imag isfinite isinf isnan isneginf isposinf isreal log log10 log1p log2 logical_not nan_to_num negative
        ones_like rad2deg real reciprocal round sign signbit sin sinc sinh sqrt square tan tanh trunc zeros_like
        relu relu6 sigmoid sparse_sigmoid softplus softsign soft_shrink sparse_plus silu squareplus log_sigmoid
        leaky_relu hard_sigmoid hard_silu elu selu gelu celu tanh_shrink hard_tanh hard_shrink erf erfc erfinv rsqrt
        stop_gradient
    """
    return branches(
        *(lambda *args, name=name: getattr(ops, name)(*args) for name in names.split()),
        lambda x: ops.arccosh(x + 1),
        lambda x: ops.clip(x, 0.2, 0.7),
        lambda x: ops.full_like(x, 2.0) * x,
        lambda x: ops.threshold(x, 0.3, 0.1),
        lambda x: ops.convert_to_tensor(x, dtype="float16"),
        lambda x: ops.saturate_cast(x * 8, "int32"),
        lambda x: ops.bitwise_invert(ops.cast(x * 8, "int32")),
        lambda x: ops.bitwise_not(ops.cast(x * 8, "int32")),
    )


def functions_of_two_numbers():
    names = """
        add arctan2 divide divide_no_nan equal floor_divide fmax fmin fmod greater greater_equal heaviside hypot isclose
        less less_equal logaddexp logaddexp2 logical_and logical_or logical_xor maximum minimum mod multiply nextafter
        not_equal power subtract true_divide
    """
    return branches(
        *(lambda *args, name=name: getattr(ops, name)(*args) for name in names.split()),
        lambda x, y: ops.where(x > 0.5, x, y),
        lambda x, y: ops.select([x > 0.5, y > 0.5], [x, y], 0.0),
        *([lambda x, y: ops.abs(ops.polar(x, y))] if is_keras("3.11") else []),
        count=2,
    )


def functions_of_two_integers():
    names = """
        bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor gcd lcm left_shift right_shift
    """

    def whole(name):
        return lambda x, y: getattr(ops, name)(ops.cast(x * 8, "int32"), ops.cast(y * 3, "int32"))

    def load(x, y):
        return ops.ldexp(x, ops.cast(y * 3, "int32"))

    return branches(*map(whole, names.split()), load, count=2)


def scalars_and_gates():
    def gate(x, y):
        return x * ops.mean(y, axis=1, keepdims=True)[..., :8]

    return branches(lambda x, y: x * 2.0 + 1.0, lambda x, y: 3 - x, lambda x, y: x**2 / y, gate, count=2)


def moved():
    return chain(
        lambda x: ops.transpose(x, (0, 3, 1, 2)),
        lambda x: ops.flip(x, axis=1),
        lambda x: ops.moveaxis(x, 1, -1),
        lambda x: ops.roll(x, 3, axis=-1),
        lambda x: ops.roll(x, (1, 2), axis=(1, 2)),
        lambda x: ops.rot90(x, axes=(1, 2)),
        lambda x: ops.fliplr(x),
        lambda x: ops.expand_dims(x, 2),
        lambda x: ops.squeeze(x, 2),
        lambda x: ops.swapaxes(x, 1, 3),
        lambda x: ops.reshape(x, (-1, 8, 16)),
        lambda x: ops.swapaxes(x, 1, 2),
        lambda x: ops.reshape(x, (-1, 4, 4, 8)),
    )


def windows_as_samples():
    """As in Swin: windows become samples, and their pixels a sequence; then the way back."""
    return chain(
        lambda x: ops.transpose(ops.reshape(x, (-1, 2, 2, 2, 2, 8)), (0, 1, 3, 2, 4, 5)),
        lambda x: ops.reshape(x, (-1, 4, 8)),
        layers.Dense(6, name="within"),
        lambda x: ops.transpose(ops.reshape(x, (-1, 2, 2, 2, 2, 6)), (0, 1, 3, 2, 4, 5)),
        lambda x: ops.reshape(x, (-1, 4, 4, 6)),
    )


def flipped_batch():
    require_keras("3.14", "ops.flipud")
    return chain(ops.flipud, ops.flipud)


def repeated():
    return chain(
        lambda x: ops.tile(x, (1, 2, 1, 2)),
        lambda x: ops.repeat(x, 2, axis=-1),
        lambda x: ops.repeat(x, 2, axis=1),
        lambda x: ops.pad(x, ((0, 0), (1, 0), (0, 1), (2, 3))),
        lambda x: ops.pad(x, ((0, 0), (1, 0), (0, 1), (0, 0)), mode="reflect"),
        lambda x: ops.mean(x, axis=1),
    )


def broadcast():
    inputs = keras.Input(batch_shape=(2, 5))
    x = layers.Dense(8, name="before")(inputs)
    x = ops.broadcast_to(ops.expand_dims(x, 1), (2, 3, 8))
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x)))


def blocks():
    require_keras("3.14", "ops.depth_to_space")
    return chain(
        lambda x: ops.depth_to_space(x, 2),
        lambda x: ops.space_to_depth(x, 4),
        lambda x: ops.glu(x, axis=-1),
        lambda x: ops.glu(x, axis=1),
        units=16,
    )


def blocks_of_unknown_size():
    require_keras("3.14", "ops.depth_to_space")
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(16, 3, padding="same", name="before")(inputs)
    x = ops.depth_to_space(x, 2)
    x = ops.space_to_depth(layers.Conv2D(6, 3, padding="same", name="between")(x), 2)
    return keras.Model(inputs, layers.Dense(2, name="out")(ops.max(x, axis=(1, 2))))


def along_an_axis():
    return branches(
        lambda x: ops.cumsum(x, axis=1),
        lambda x: ops.cumprod(x, axis=1),
        lambda x: ops.nancumsum(x, axis=1),
        lambda x: ops.nancumprod(x, axis=1),
        lambda x: ops.sort(x, axis=1),
        lambda x: ops.argsort(x, axis=1),
        lambda x: ops.diff(x, axis=1),
        lambda x: ops.take_along_axis(x, ops.argsort(x, axis=1), axis=1),
        lambda x: ops.take_along_axis(x, np.array([[[2], [0]]]), axis=1),
        lambda x: ops.take_along_axis(x, np.random.default_rng(0).integers(0, 4, (1, 3, 8)), axis=1),
        lambda x: ops.top_k(ops.swapaxes(x, 1, 2), 3),
        lambda x: ops.softmax(x, axis=1),
        lambda x: ops.log_softmax(x, axis=1),
        lambda x: ops.sparsemax(ops.swapaxes(x, 1, 2), axis=-1),
        lambda x: ops.normalize(x, axis=1),
        lambda x: ops.triu(ops.transpose(ops.expand_dims(x, 3), (0, 2, 1, 3))),
        lambda x: ops.tril(ops.transpose(ops.expand_dims(x, 3), (0, 2, 1, 3))),
        lambda x: ops.layer_normalization(x, axis=1),
        lambda x: ops.rms_normalization(x, axis=1),
    )


REDUCTIONS = "mean max min amax amin std var median ptp nanmean nanmax nanmin nanstd nanvar nanmedian"
OTHERS = "prod nanprod all argmax argmin nanargmax nanargmin" + " logsumexp" * is_keras("3.11")


def reduced():
    names = f"sum nansum any count_nonzero {REDUCTIONS} {OTHERS}"
    return branches(
        *(lambda x, name=name: getattr(ops, name)(x, axis=1) for name in names.split()),
        lambda x: ops.average(x, axis=1),
        lambda x: ops.quantile(x, 0.3, axis=1, keepdims=True),
        lambda x: ops.percentile(x, 30.0, axis=1),
        lambda x: ops.nanquantile(x, 0.3, axis=1),
        lambda x: ops.nanpercentile(x, 30.0, axis=1),
        lambda x: ops.norm(x, axis=1),
        lambda x: ops.moments(x, axes=[1]),
        lambda x: ops.trapezoid(x, axis=1),
        lambda x: ops.sum(ops.transpose(x, (0, 2, 1)), axis=-1),
    )


def summed_over_channels():
    return branches(
        lambda x: ops.sum(x, axis=-1),
        lambda x: ops.sum(x, axis=(1, 2), keepdims=True),
        lambda x: ops.nansum(x, axis=-1),
        lambda x: ops.any(x > 0.8, axis=-1),
        lambda x: ops.count_nonzero(x, axis=-1),
        lambda x: ops.norm(x, axis=-1),
        lambda x: ops.norm(x, ord=1, axis=-1, keepdims=True),
        lambda x: x,
    )


def averaged_over_channels():
    """As in CBAM, which looks at the mean and the largest of all channels."""
    names = f"{REDUCTIONS} average".split()
    return branches(
        *(lambda x, name=name: getattr(ops, name)(x, axis=-1) for name in names),
        lambda x: ops.quantile(x, 0.3, axis=-1),
        lambda x: ops.moments(x, axes=[-1]),
        lambda x: ops.layer_normalization(x),
        lambda x: ops.rms_normalization(x),
        lambda x: ops.normalize(x),
    )


def joined():
    return branches(
        lambda x, y: ops.concatenate([x, y], axis=-1),
        lambda x, y: ops.concatenate([x, y, x], axis=1),
        lambda x, y: ops.hstack([x, y]),
        lambda x, y: ops.dstack([x, y]),
        lambda x, y: ops.stack([x, y], axis=2),
        lambda x, y: ops.append(x, y, axis=-1),
        count=2,
    )


def joined_batches():
    """Two batches one after the other."""
    inputs = keras.Input((4, 5))
    x, y = layers.Dense(8, name="one")(inputs), layers.Dense(8, name="two")(inputs)
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(ops.vstack([x, y]))))


def parts():
    return branches(
        lambda x: x[:, 1:],
        lambda x: x[..., :3],
        lambda x: x[:, None, ::2, 2:-1],
        lambda x: ops.multiply(x[..., ::2], x[..., 1::2]),
        lambda x: x[..., 2],
        lambda x: x[:, -1, -1:],
        lambda x: ops.slice(x, (0, 1, 2), (2, 2, 4)),
        lambda x: ops.take(x, [5, 1, 1, -1], axis=-1),
        lambda x: ops.take(x, [[0, 1], [2, 3]], axis=1),
        lambda x: ops.split(x, [2, 5], axis=-1),
        lambda x: ops.array_split(x, 3, axis=1),
        lambda x: ops.dsplit(x, [3]),
        lambda x: ops.hsplit(x, 2),
        lambda x: ops.unstack(x, axis=1),
        units=12,
    )


def slices_to_the_end():
    try:
        ops.slice(keras.KerasTensor((None, 3)), [0, 0], [-1, -1])
    except (TypeError, ValueError):
        pytest.skip("this Keras does not know -1 as the rest of an axis")
    return branches(lambda x: ops.slice(x, [0, 0, 3], [-1, -1, -1]))  # Keras on PyTorch drops the last entry


def backwards():
    return branches(lambda x: x[..., ::-1])  # which PyTorch cannot


def halves_of_a_batch():
    require_keras("3.14", "ops.vsplit")
    inputs = keras.Input(batch_shape=(2, 4, 5))
    x, y = ops.vsplit(layers.Dense(8, name="before")(inputs), 2)
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x * y)))


def rotary():
    """Rotary embeddings: halves and neighbours of channels change places."""
    inputs = keras.Input((6, 5))
    x = layers.Dense(8, name="before")(inputs)
    left, right = ops.split(x, 2, axis=-1)
    x = x * 0.5 + ops.concatenate([-right, left], axis=-1)
    even, odd = x[..., ::2], x[..., 1::2]
    x = ops.reshape(ops.stack([-odd, even], axis=-1), (-1, 6, 8)) + x
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x)))


def products():
    inputs = keras.Input((6, 5))
    x, y, z = (layers.Dense(8, activation="tanh", name=name)(inputs) for name in ("one", "two", "three"))
    scores = ops.softmax(ops.matmul(x, ops.transpose(y, (0, 2, 1))), axis=-1)
    a = ops.matmul(scores, z)
    b = ops.einsum("bic,bjc->bij", x, y)
    c = ops.einsum("...ij,...jc->...ic", b, z)
    d = ops.einsum("bic,bjc,bjd->bid", x, y, layers.Dense(4, name="four")(inputs))
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(ops.concatenate([a, b, c, d], axis=-1))))


def multiplied_by_constants():
    random = np.random.default_rng(3)

    def drawn(*shape):
        return random.normal(size=shape).astype("float32")

    return branches(
        lambda x: ops.matmul(x, drawn(8, 3)),
        lambda x: ops.matmul(x, drawn(8)),
        lambda x: ops.matmul(drawn(3, 4), x),
        lambda x: ops.dot(x, drawn(8, 2)),
        lambda x: ops.dot(x, drawn(8)),
        lambda x: ops.inner(x, drawn(3, 8)),
        lambda x: ops.tensordot(x, drawn(8, 3), axes=1),
        lambda x: ops.tensordot(x, drawn(2, 8, 3), axes=[[2], [1]]),
        lambda x: ops.einsum("bic,cd->bid", x, drawn(8, 3)),
        lambda x: ops.einsum("bic,ic,c->bic", x, drawn(4, 8), drawn(8)),
    )


def attention_by_hand(scale=0.5):
    """Heads by reshaping: all lose the same dimensions."""
    inputs = keras.Input((6, 5))
    parts = [layers.Dense(12, name=name)(inputs) for name in ("query", "key", "value")]
    parts = [layers.Reshape((6, 3, 4))(part) for part in parts]
    a = ops.dot_product_attention(*parts, scale=scale)
    query, key, value = [ops.transpose(part, (0, 2, 1, 3)) for part in parts]
    scores = ops.softmax(ops.einsum("bhic,bhjc->bhij", query, key))
    b = ops.transpose(ops.matmul(scores, value), (0, 2, 1, 3))
    x = ops.concatenate([ops.reshape(a, (-1, 6, 12)), ops.reshape(b, (-1, 6, 12))], axis=-1)
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x)))


def attention_with_its_own_scale():
    return attention_by_hand(scale=None)


def windows():
    return branches(
        lambda x: ops.max_pool(x, 2),
        lambda x: ops.average_pool(x, 2, padding="same"),
        # Of channels last Keras (3.15) computes a wrong shape.
        lambda x: ops.adaptive_max_pool(ops.transpose(x, (0, 3, 1, 2)), (2, 2), data_format="channels_first"),
        lambda x: ops.adaptive_average_pool(ops.transpose(x, (0, 3, 1, 2)), (2, 2), data_format="channels_first"),
        lambda x: ops.image.resize(x, (3, 3)),
        lambda x: ops.image.pad_images(x, 1, 1, target_height=6, target_width=6),
        lambda x: ops.image.crop_images(x, 1, 1, target_height=2, target_width=2),
        shape=(4, 4, 5),
    )


def statistics_of_channels():
    require_keras("3.11")
    inputs = keras.Input((4, 5))
    x = layers.Dense(8, name="before")(inputs)
    mean, variance = ops.moments(x, axes=[0, 1])
    x = ops.batch_normalization(x, mean, variance, -1, offset=ops.max(x, (0, 1)), scale=ops.exp(mean))
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x)))


def transformed_beside():
    """Fourier transforms of positions, each channel alone."""

    def rows(x):
        return ops.transpose(x, (0, 2, 1))

    def images(x):
        return ops.reshape(rows(x), (-1, 8, 2, 2))

    return branches(
        lambda x: ops.fft((rows(x), ops.square(rows(x)))),
        lambda x: ops.fft2((images(x), ops.zeros_like(images(x)))),
        lambda x: ops.ifft2((images(x), images(x))),
        lambda x: ops.rfft(rows(x)),
        lambda x: ops.irfft((rows(x), rows(x))),
    )


def convolved():
    """By kernels that are weights, as expanded custom layers have them."""
    inputs = keras.Input((4, 4, 5))
    x = layers.Dense(8, activation="sigmoid", name="before")(inputs)
    x = ops.conv(x, Weight((2, 2, 8, 6), name="kernel")(inputs), padding="same")
    x = ops.depthwise_conv(ops.tanh(x), Weight((2, 2, 6, 1), name="each")(inputs), padding="same")
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x)))


CORE = [moved, parts, products]
MORE = [
    functions_of_one_number,
    functions_of_two_numbers,
    functions_of_two_integers,
    scalars_and_gates,
    windows_as_samples,
    flipped_batch,
    repeated,
    broadcast,
    blocks,
    blocks_of_unknown_size,
    along_an_axis,
    transformed_beside,
    convolved,
    reduced,
    summed_over_channels,
    averaged_over_channels,
    joined,
    joined_batches,
    backwards,
    slices_to_the_end,
    halves_of_a_batch,
    rotary,
    multiplied_by_constants,
    attention_by_hand,
    attention_with_its_own_scale,
    windows,
    statistics_of_channels,
]
INEXACT = {"averaged_over_channels", "attention_with_its_own_scale"}
