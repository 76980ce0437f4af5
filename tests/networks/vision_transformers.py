"""Transformers of images: ViT, CCT, Swin and MobileViT."""

import keras
import numpy as np
from keras import layers, ops


def images(size, channels=3, count=2):
    return np.random.default_rng(1).normal(size=(count, size, size, channels)).astype("float32")


def mlp(x, hidden_units, dropout_rate):
    for units in hidden_units:
        x = layers.Dense(units, activation="gelu")(x)
        x = layers.Dropout(dropout_rate)(x)
    return x


class Patches(layers.Layer):
    """Cuts an image into patches."""

    def __init__(self, patch_size, **kwargs):
        super().__init__(**kwargs)
        self.patch_size = patch_size

    def call(self, images):
        batch_size, height, width, channels = ops.shape(images)
        rows, columns = height // self.patch_size, width // self.patch_size
        patches = ops.image.extract_patches(images, size=self.patch_size)
        return ops.reshape(patches, (batch_size, rows * columns, self.patch_size * self.patch_size * channels))

    def get_config(self):
        return {**super().get_config(), "patch_size": self.patch_size}


class PatchEncoder(layers.Layer):
    """Projects patches and adds what is learnt of their positions. It has no `get_config`."""

    def __init__(self, num_patches, projection_dim):
        super().__init__()
        self.num_patches = num_patches
        self.projection = layers.Dense(units=projection_dim)
        self.position_embedding = layers.Embedding(input_dim=num_patches, output_dim=projection_dim)

    def call(self, patch):
        positions = ops.expand_dims(ops.arange(start=0, stop=self.num_patches, step=1), axis=0)
        return self.projection(patch) + self.position_embedding(positions)


def vision_transformer(size=8, patch_size=2, projection_dim=16):
    """Custom layers at the front of a Functional model."""
    inputs = keras.Input((size, size, 3))
    patches = Patches(patch_size)(inputs)
    encoded = PatchEncoder((size // patch_size) ** 2, projection_dim)(patches)
    for _ in range(2):
        x1 = layers.LayerNormalization(epsilon=1e-6)(encoded)
        attention = layers.MultiHeadAttention(num_heads=4, key_dim=8, dropout=0.1)(x1, x1)
        x2 = layers.Add()([attention, encoded])
        x3 = layers.LayerNormalization(epsilon=1e-6)(x2)
        encoded = layers.Add()([mlp(x3, [32, projection_dim], 0.1), x2])
    representation = layers.LayerNormalization(epsilon=1e-6)(encoded)
    representation = layers.Dropout(0.5)(layers.Flatten()(representation))
    features = mlp(representation, [32, 16], 0.5)
    return keras.Model(inputs, layers.Dense(5)(features)), images(size)


class CCTTokenizer(layers.Layer):
    """Convolutions in a Sequential that is put together in the constructor."""

    def __init__(self, output_channels=(12, 16), positional_emb=True, **kwargs):
        super().__init__(**kwargs)
        self.conv_model = keras.Sequential()
        for channels in output_channels:
            self.conv_model.add(layers.Conv2D(channels, 3, padding="valid", use_bias=False, activation="relu"))
            self.conv_model.add(layers.ZeroPadding2D(1))
            self.conv_model.add(layers.MaxPooling2D(3, 2, "same"))
        self.positional_emb = positional_emb

    def call(self, images):
        outputs = self.conv_model(images)
        return ops.reshape(outputs, (-1, ops.shape(outputs)[1] * ops.shape(outputs)[2], ops.shape(outputs)[-1]))


class PositionEmbedding(layers.Layer):
    def __init__(self, sequence_length, initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.sequence_length = sequence_length
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape):
        self.position_embeddings = self.add_weight(
            name="embeddings", shape=[self.sequence_length, input_shape[-1]], initializer=self.initializer
        )
        super().build(input_shape)

    def call(self, inputs, start_index=0):
        shape = ops.shape(inputs)
        position_embeddings = ops.convert_to_tensor(self.position_embeddings)
        position_embeddings = ops.slice(position_embeddings, (start_index, 0), (shape[-2], shape[-1]))
        return ops.broadcast_to(position_embeddings, shape)


class SequencePooling(layers.Layer):
    def __init__(self):
        super().__init__()
        self.attention = layers.Dense(1)

    def call(self, x):
        weights = ops.softmax(self.attention(x), axis=1)
        weights = ops.transpose(weights, axes=(0, 2, 1))
        return ops.squeeze(ops.matmul(weights, x), -2)


class StochasticDepth(layers.Layer):
    """Leaves a branch out at random while the model is trained."""

    def __init__(self, drop_prop, **kwargs):
        super().__init__(**kwargs)
        self.drop_prob = drop_prop
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, x, training=None):
        if training:
            keep_prob = 1 - self.drop_prob
            shape = (ops.shape(x)[0], *(1,) * (len(x.shape) - 1))
            random_tensor = keep_prob + keras.random.uniform(shape, 0, 1, seed=self.seed_generator)
            return (x / keep_prob) * ops.floor(random_tensor)
        return x


def compact_transformer(size=8, projection_dim=16):
    inputs = keras.Input((size, size, 3))
    tokenizer = CCTTokenizer((12, projection_dim))
    encoded = tokenizer(inputs)
    encoded += PositionEmbedding(sequence_length=encoded.shape[1])(encoded)
    for rate in np.linspace(0, 0.1, 2):
        x1 = layers.LayerNormalization(epsilon=1e-5)(encoded)
        attention = layers.MultiHeadAttention(num_heads=2, key_dim=projection_dim, dropout=0.1)(x1, x1)
        attention = StochasticDepth(rate)(attention)
        x2 = layers.Add()([attention, encoded])
        x3 = layers.LayerNormalization(epsilon=1e-5)(x2)
        x3 = StochasticDepth(rate)(mlp(x3, [projection_dim, projection_dim], 0.1))
        encoded = layers.Add()([x3, x2])
    representation = layers.LayerNormalization(epsilon=1e-5)(encoded)
    return keras.Model(inputs, layers.Dense(4)(SequencePooling()(representation))), images(size)


def window_partition(x, window_size):
    _, height, width, channels = x.shape
    x = ops.reshape(x, (-1, height // window_size, window_size, width // window_size, window_size, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, window_size, window_size, channels))


def window_reverse(windows, window_size, height, width, channels):
    x = ops.reshape(windows, (-1, height // window_size, width // window_size, window_size, window_size, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, height, width, channels))


class WindowAttention(layers.Layer):
    """One projection to queries, keys and values, and a table of biases for relative positions."""

    def __init__(self, dim, window_size, num_heads, **kwargs):
        super().__init__(**kwargs)
        self.dim = dim
        self.window_size = window_size
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.qkv = layers.Dense(dim * 3)
        self.proj = layers.Dense(dim)
        self.relative_position_bias_table = self.add_weight(
            shape=((2 * window_size - 1) ** 2, num_heads), initializer="glorot_uniform", name="bias_table"
        )
        places = np.stack(np.meshgrid(range(window_size), range(window_size), indexing="ij")).reshape(2, -1)
        relative = (places[:, :, None] - places[:, None, :]).transpose(1, 2, 0) + window_size - 1
        self.relative_position_index = (relative[:, :, 0] * (2 * window_size - 1) + relative[:, :, 1]).reshape(-1)

    def call(self, x, mask=None):
        _, size, channels = x.shape
        head_dim = channels // self.num_heads
        qkv = ops.reshape(self.qkv(x), (-1, size, 3, self.num_heads, head_dim))
        q, k, v = ops.unstack(ops.transpose(qkv, (2, 0, 3, 1, 4)), 3)
        attention = ops.matmul(q * self.scale, ops.transpose(k, (0, 1, 3, 2)))
        bias = ops.take(self.relative_position_bias_table, self.relative_position_index, axis=0)
        bias = ops.transpose(ops.reshape(bias, (size, size, -1)), (2, 0, 1))
        attention = attention + ops.expand_dims(bias, axis=0)
        if mask is not None:
            windows = mask.shape[0]
            mask = ops.expand_dims(ops.expand_dims(ops.cast(mask, "float32"), 1), 0)
            attention = ops.reshape(attention, (-1, windows, self.num_heads, size, size)) + mask
            attention = ops.reshape(attention, (-1, self.num_heads, size, size))
        attention = keras.activations.softmax(attention, axis=-1)
        x = ops.transpose(ops.matmul(attention, v), (0, 2, 1, 3))
        return self.proj(ops.reshape(x, (-1, size, channels)))


class SwinBlock(layers.Layer):
    """Attention in windows, which every other block shifts."""

    def __init__(self, dim, num_patch, num_heads, window_size=2, shift_size=0, num_mlp=32, **kwargs):
        super().__init__(**kwargs)
        self.dim = dim
        self.num_patch = num_patch
        self.window_size = window_size
        self.shift_size = shift_size
        self.norm1 = layers.LayerNormalization(epsilon=1e-5)
        self.attn = WindowAttention(dim, window_size, num_heads)
        self.norm2 = layers.LayerNormalization(epsilon=1e-5)
        self.mlp = keras.Sequential(
            [layers.Dense(num_mlp), layers.Activation(keras.activations.gelu), layers.Dropout(0.03), layers.Dense(dim)]
        )
        self.attn_mask = None

    def build(self, input_shape):
        if self.shift_size:
            height, width = self.num_patch
            cuts = (0, -self.window_size, -self.shift_size, None)
            parts = np.zeros((1, height, width, 1))
            for number, (i, j) in enumerate((i, j) for i in range(3) for j in range(3)):
                parts[:, slice(*cuts[i : i + 2]), slice(*cuts[j : j + 2]), :] = number
            windows = window_partition(ops.convert_to_tensor(parts), self.window_size)
            windows = ops.convert_to_numpy(windows).reshape(-1, self.window_size**2)
            self.attn_mask = np.where(windows[:, None, :] != windows[:, :, None], -100.0, 0.0).astype("float32")
        super().build(input_shape)

    def call(self, x, training=False):
        height, width = self.num_patch
        _, _, channels = x.shape
        skip = x
        x = ops.reshape(self.norm1(x), (-1, height, width, channels))
        if self.shift_size > 0:
            x = ops.roll(x, shift=[-self.shift_size, -self.shift_size], axis=[1, 2])
        windows = window_partition(x, self.window_size)
        windows = ops.reshape(windows, (-1, self.window_size * self.window_size, channels))
        attended = self.attn(windows, mask=self.attn_mask)
        attended = ops.reshape(attended, (-1, self.window_size, self.window_size, channels))
        x = window_reverse(attended, self.window_size, height, width, channels)
        if self.shift_size > 0:
            x = ops.roll(x, shift=[self.shift_size, self.shift_size], axis=[1, 2])
        x = skip + ops.reshape(x, (-1, height * width, channels))
        return x + self.mlp(self.norm2(x), training=training)


class PatchMerging(layers.Layer):
    def __init__(self, num_patch, embed_dim):
        super().__init__()
        self.num_patch = num_patch
        self.linear_trans = layers.Dense(2 * embed_dim, use_bias=False)

    def call(self, x):
        height, width = self.num_patch
        channels = x.shape[-1]
        x = ops.reshape(x, (-1, height, width, channels))
        corners = [x[:, i::2, j::2, :] for j in (0, 1) for i in (0, 1)]
        x = ops.reshape(ops.concatenate(corners, axis=-1), (-1, height // 2 * (width // 2), 4 * channels))
        return self.linear_trans(x)


def swin_transformer(size=8, dim=16):
    side = size // 2
    inputs = keras.Input((size, size, 3))
    x = Patches(2)(inputs)
    x = PatchEncoder(side * side, dim)(x)
    for shift in (0, 1):
        x = SwinBlock(dim, (side, side), num_heads=4, shift_size=shift)(x)
    x = PatchMerging((side, side), dim)(x)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(4)(x)), images(size)


class InvertedResidual(layers.Layer):
    def __init__(self, expanded, output_channels, strides=1):
        super().__init__()
        self.strides = strides
        self.expand = layers.Conv2D(expanded, 1, padding="same", use_bias=False)
        self.depthwise = layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)
        self.project = layers.Conv2D(output_channels, 1, padding="same", use_bias=False)
        self.norms = [layers.BatchNormalization() for _ in range(3)]

    def call(self, x, training=False):
        m = keras.activations.silu(self.norms[0](self.expand(x), training=training))
        m = keras.activations.silu(self.norms[1](self.depthwise(m), training=training))
        m = self.norms[2](self.project(m), training=training)
        return m + x if m.shape[-1] == x.shape[-1] and self.strides == 1 else m


class MobileViTBlock(layers.Layer):
    """Convolutions around a small transformer over unfolded patches, whose layers are in lists."""

    def __init__(self, num_blocks, projection_dim, patch_size=2):
        super().__init__()
        self.patch_size = patch_size
        self.projection_dim = projection_dim
        self.local = layers.Conv2D(projection_dim, 3, padding="same", activation="silu")
        self.point = layers.Conv2D(projection_dim, 1, padding="same", activation="silu")
        self.blocks = []
        for _ in range(num_blocks):
            self.blocks.append(
                {
                    "norm1": layers.LayerNormalization(epsilon=1e-6),
                    "attention": layers.MultiHeadAttention(2, projection_dim // 2, dropout=0.1),
                    "norm2": layers.LayerNormalization(epsilon=1e-6),
                    "mlp": [layers.Dense(projection_dim * 2, activation="silu"), layers.Dense(projection_dim)],
                }
            )

    def build(self, input_shape):
        self.fold = layers.Conv2D(input_shape[-1], 1, padding="same", activation="silu")
        self.merge = layers.Conv2D(self.projection_dim, 3, padding="same", activation="silu")

    def call(self, x):
        _, height, width, _ = x.shape
        size = self.patch_size**2
        local = self.point(self.local(x))
        patches = ops.reshape(local, (-1, size, height * width // size, self.projection_dim))
        for block in self.blocks:
            x1 = block["norm1"](patches)
            x2 = block["attention"](x1, x1) + patches
            x3 = block["norm2"](x2)
            for dense in block["mlp"]:
                x3 = dense(x3)
            patches = x3 + x2
        folded = self.fold(ops.reshape(patches, (-1, height, width, self.projection_dim)))
        return self.merge(ops.concatenate([x, folded], axis=-1))


def mobile_vit(size=8):
    inputs = keras.Input((size, size, 3))
    x = layers.Rescaling(scale=1.0 / 2)(inputs)
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="silu")(x)
    x = InvertedResidual(16, 8)(x)
    x = MobileViTBlock(1, 12)(x)
    x = InvertedResidual(24, 16, strides=2)(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(4)(x)), images(size)
