"""Custom code that calls TensorFlow, as it was written before Keras ran on other backends."""

import keras
import tensorflow as tf
from keras import layers
from networks.text import VOCABULARY, TokenAndPositionEmbedding, tokens
from networks.vision_transformers import images


class MultiHeadSelfAttention(layers.Layer):
    def __init__(self, embed_dim, num_heads=4):
        super().__init__()
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.projection_dim = embed_dim // num_heads
        self.query_dense = layers.Dense(embed_dim)
        self.key_dense = layers.Dense(embed_dim)
        self.value_dense = layers.Dense(embed_dim)
        self.combine_heads = layers.Dense(embed_dim)

    def attention(self, query, key, value):
        score = tf.matmul(query, key, transpose_b=True)
        scaled_score = score / tf.math.sqrt(tf.cast(self.projection_dim, tf.float32))
        return tf.matmul(tf.nn.softmax(scaled_score, axis=-1), value)

    def separate_heads(self, x, batch_size):
        x = tf.reshape(x, (batch_size, -1, self.num_heads, self.projection_dim))
        return tf.transpose(x, perm=[0, 2, 1, 3])

    def call(self, inputs):
        batch_size = tf.shape(inputs)[0]
        query = self.separate_heads(self.query_dense(inputs), batch_size)
        key = self.separate_heads(self.key_dense(inputs), batch_size)
        value = self.separate_heads(self.value_dense(inputs), batch_size)
        attention = tf.transpose(self.attention(query, key, value), perm=[0, 2, 1, 3])
        concat_attention = tf.reshape(attention, (batch_size, -1, self.embed_dim))
        return self.combine_heads(concat_attention)


class Block(layers.Layer):
    def __init__(self, embed_dim, num_heads, ff_dim):
        super().__init__()
        self.att = MultiHeadSelfAttention(embed_dim, num_heads)
        self.ffn = keras.Sequential([layers.Dense(ff_dim, activation=tf.nn.relu), layers.Dense(embed_dim)])
        self.layernorm1 = layers.LayerNormalization(epsilon=1e-6)
        self.layernorm2 = layers.LayerNormalization(epsilon=1e-6)

    def call(self, inputs):
        out1 = self.layernorm1(inputs + self.att(inputs))
        return self.layernorm2(out1 + self.ffn(out1))


def self_attention_of_tensorflow(length=7, embed_dim=16):
    inputs = keras.Input((length,), dtype="int32")
    x = TokenAndPositionEmbedding(length, VOCABULARY, embed_dim)(inputs)
    x = Block(embed_dim, 4, 32)(x)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(2)(x)), tokens(length)


class TensorFlowPatches(layers.Layer):
    def __init__(self, patch_size):
        super().__init__()
        self.patch_size = patch_size

    def call(self, images):
        batch_size = tf.shape(images)[0]
        patches = tf.image.extract_patches(
            images=images,
            sizes=[1, self.patch_size, self.patch_size, 1],
            strides=[1, self.patch_size, self.patch_size, 1],
            rates=[1, 1, 1, 1],
            padding="VALID",
        )
        return tf.reshape(patches, [batch_size, 16, self.patch_size**2 * 3])


class Tokens(layers.Layer):
    """A token of its own in front of the patches."""

    def __init__(self, dim):
        super().__init__()
        self.class_token = self.add_weight(shape=(1, 1, dim), initializer="glorot_uniform", name="class_token")
        self.projection = layers.Dense(dim)

    def call(self, patches):
        x = self.projection(patches)
        token = tf.broadcast_to(self.class_token, [tf.shape(x)[0], 1, x.shape[-1]])
        return tf.concat([token, x], axis=1)


class PatchClassifier(keras.Model):
    def __init__(self):
        super().__init__()
        self.patches = TensorFlowPatches(2)
        self.tokens = Tokens(16)
        self.block = Block(16, 4, 32)
        self.head = layers.Dense(3)

    def call(self, x, training=False):
        x = self.block(self.tokens(self.patches(x)))
        return self.head(x[:, 0])


def patches_of_tensorflow():
    model, x = PatchClassifier(), images(8)
    model(x)
    return model, x


class SubPixel(keras.Model):
    """Super resolution: channels become pixels."""

    def __init__(self, upscale=2):
        super().__init__()
        self.upscale = upscale
        self.convs = [layers.Conv2D(width, 3, padding="same", activation="relu") for width in (12, 12)]
        self.last = layers.Conv2D(3 * upscale**2, 3, padding="same")

    def call(self, x):
        for conv in self.convs:
            x = conv(x)
        return tf.nn.depth_to_space(self.last(x), self.upscale)


def super_resolution_of_tensorflow():
    model, x = SubPixel(), images(6)
    model(x)
    return model, x
