"""Networks that make images and sound: autoencoders, PixelCNN, a generator, WaveNet."""

import keras
import numpy as np
from keras import layers, ops
from networks.vision_transformers import images


class Sampling(layers.Layer):
    """Draws around the mean, at inference too."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, inputs):
        z_mean, z_log_var = inputs
        batch = ops.shape(z_mean)[0]
        dim = ops.shape(z_mean)[1]
        epsilon = keras.random.normal(shape=(batch, dim), seed=self.seed_generator)
        return z_mean + ops.exp(0.5 * z_log_var) * epsilon


class VAE(keras.Model):
    """Two Functional models, and losses that only training has."""

    def __init__(self, encoder, decoder, **kwargs):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.decoder = decoder
        self.total_loss_tracker = keras.metrics.Mean(name="total_loss")

    @property
    def metrics(self):
        return [self.total_loss_tracker]

    def call(self, data):
        z_mean, z_log_var, z = self.encoder(data)
        return self.decoder(z), z_mean, z_log_var


def variational_autoencoder(latent_dim=2):
    encoder_inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(8, 3, activation="relu", strides=2, padding="same")(encoder_inputs)
    x = layers.Conv2D(12, 3, activation="relu", strides=2, padding="same")(x)
    x = layers.Dense(16, activation="relu")(layers.Flatten()(x))
    z_mean = layers.Dense(latent_dim, name="z_mean")(x)
    z_log_var = layers.Dense(latent_dim, name="z_log_var")(x)
    z = Sampling()([z_mean, z_log_var])
    encoder = keras.Model(encoder_inputs, [z_mean, z_log_var, z], name="encoder")
    latent_inputs = keras.Input((latent_dim,))
    x = layers.Dense(2 * 2 * 12, activation="relu")(latent_inputs)
    x = layers.Reshape((2, 2, 12))(x)
    x = layers.Conv2DTranspose(12, 3, activation="relu", strides=2, padding="same")(x)
    x = layers.Conv2DTranspose(8, 3, activation="relu", strides=2, padding="same")(x)
    decoder = keras.Model(latent_inputs, layers.Conv2DTranspose(1, 3, activation="sigmoid", padding="same")(x))
    model, x = VAE(encoder, decoder), images(8, 1)
    model(x)
    return model, x


class Coder(keras.Model):
    """Half of an autoencoder, with a `call` of its own."""

    def __init__(self, units, shape, activation, **kwargs):
        super().__init__(**kwargs)
        self.hidden = [layers.Dense(width, activation="relu") for width in units]
        self.last = layers.Dense(int(np.prod(shape)), activation=activation)
        self.shape_ = tuple(shape)

    def call(self, x):
        x = ops.reshape(x, (ops.shape(x)[0], -1))
        for dense in self.hidden:
            x = dense(x)
        return ops.reshape(self.last(x), (-1, *self.shape_))


class Autoencoder(keras.Model):
    def __init__(self, latent_dim=6, shape=(4, 5)):
        super().__init__()
        self.encoder = Coder([16, 12], [latent_dim], "relu")
        self.decoder = Coder([12, 16], shape, "sigmoid")

    def call(self, x):
        encoded = self.encoder(x)
        return self.decoder(encoded)


def autoencoder():
    model, x = Autoencoder(), np.random.default_rng(1).uniform(size=(2, 4, 5)).astype("float32")
    model(x)
    return model, x


class PixelConvLayer(layers.Layer):
    """A convolution that sees only pixels above and left: its kernel is masked at each call."""

    def __init__(self, mask_type, **kwargs):
        super().__init__()
        self.mask_type = mask_type
        self.conv = layers.Conv2D(**kwargs)

    def build(self, input_shape):
        self.conv.build(input_shape)
        kernel_shape = ops.shape(self.conv.kernel)
        self.mask = np.zeros(shape=kernel_shape)
        self.mask[: kernel_shape[0] // 2, ...] = 1.0
        self.mask[kernel_shape[0] // 2, : kernel_shape[1] // 2, ...] = 1.0
        if self.mask_type == "B":
            self.mask[kernel_shape[0] // 2, kernel_shape[1] // 2, ...] = 1.0

    def call(self, inputs):
        self.conv.kernel.assign(self.conv.kernel * self.mask)
        return self.conv(inputs)


class PixelResidualBlock(layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.conv1 = layers.Conv2D(filters=filters, kernel_size=1, activation="relu")
        self.pixel_conv = PixelConvLayer(
            mask_type="B", filters=filters // 2, kernel_size=3, activation="relu", padding="same"
        )
        self.conv2 = layers.Conv2D(filters=filters, kernel_size=1, activation="relu")

    def call(self, inputs):
        x = self.conv1(inputs)
        x = self.pixel_conv(x)
        x = self.conv2(x)
        return keras.layers.add([inputs, x])


def pixel_cnn():
    inputs = keras.Input((8, 8, 1))
    x = PixelConvLayer(mask_type="A", filters=12, kernel_size=5, activation="relu", padding="same")(inputs)
    for _ in range(2):
        x = PixelResidualBlock(filters=12)(x)
    x = PixelConvLayer(mask_type="B", filters=12, kernel_size=1, activation="relu", padding="valid")(x)
    x = layers.Conv2D(filters=1, kernel_size=1, activation="sigmoid")(x)
    return keras.Model(inputs, x), images(8, 1)


class UpsampleBlock(layers.Layer):
    def __init__(self, filters, activation, use_bn=True, **kwargs):
        super().__init__(**kwargs)
        self.up = layers.UpSampling2D(2)
        self.conv = layers.Conv2D(filters, 3, padding="same", use_bias=not use_bn)
        self.bn = layers.BatchNormalization() if use_bn else None
        self.activation = activation

    def call(self, x, training=False):
        x = self.conv(self.up(x))
        if self.bn is not None:
            x = self.bn(x, training=training)
        return self.activation(x)


class Generator(keras.Model):
    def __init__(self, noise_dim=6):
        super().__init__()
        self.dense = layers.Dense(2 * 2 * 16, use_bias=False)
        self.bn = layers.BatchNormalization()
        self.reshape = layers.Reshape((2, 2, 16))
        self.blocks = (
            UpsampleBlock(12, layers.LeakyReLU(0.2)),
            UpsampleBlock(1, keras.activations.tanh, use_bn=False),
        )

    def call(self, noise, training=False):
        x = ops.leaky_relu(self.bn(self.dense(noise), training=training), 0.2)
        x = self.reshape(x)
        for block in self.blocks:
            x = block(x, training=training)
        return x[:, 1:-1, 1:-1]


def image_generator():
    """The generator of a WGAN."""
    model, x = Generator(), np.random.default_rng(1).normal(size=(3, 6)).astype("float32")
    model(x)
    return model, x


class GatedUnit(layers.Layer):
    """Returns what goes on, and what is summed up in the end."""

    def __init__(self, channels, dilation_rate, **kwargs):
        super().__init__(**kwargs)
        self.filter = layers.Conv1D(channels, 2, dilation_rate=dilation_rate, padding="causal", activation="tanh")
        self.gate = layers.Conv1D(channels, 2, dilation_rate=dilation_rate, padding="causal", activation="sigmoid")
        self.residual = layers.Conv1D(channels, 1)
        self.skip = layers.Conv1D(channels, 1)

    def call(self, x):
        gated = self.filter(x) * self.gate(x)
        return x + self.residual(gated), self.skip(gated)


def wavenet(channels=10, length=16):
    inputs = keras.Input((length, 2))
    x = layers.Conv1D(channels, 2, padding="causal")(inputs)
    skips = []
    for stage in range(3):
        x, skip = GatedUnit(channels, 2**stage)(x)
        skips.append(skip)
    x = layers.Activation("relu")(layers.Add()(skips))
    x = layers.Conv1D(channels, 1, activation="relu")(x)
    model = keras.Model(inputs, layers.Conv1D(3, 1)(x))
    return model, np.random.default_rng(1).normal(size=(2, length, 2)).astype("float32")
