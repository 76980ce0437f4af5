"""Convolutional networks with blocks that are classes: ResNet, U-Net, ConvNeXt, attention to channels, Inception."""

import keras
from keras import layers, ops
from networks.vision_transformers import StochasticDepth, images


class ResidualBlock(keras.Model):
    """A block that is a model: its shortcut is there only where it is needed."""

    def __init__(self, filters, strides=1, **kwargs):
        super().__init__(**kwargs)
        self.conv1 = layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False)
        self.bn1 = layers.BatchNormalization()
        self.conv2 = layers.Conv2D(filters, 3, padding="same", use_bias=False)
        self.bn2 = layers.BatchNormalization()
        self.relu = layers.ReLU()
        if strides > 1:
            self.shortcut = keras.Sequential(
                [layers.Conv2D(filters, 1, strides=strides, use_bias=False), layers.BatchNormalization()]
            )
        else:
            self.shortcut = lambda x, training=None: x

    def call(self, inputs, training=None):
        x = self.relu(self.bn1(self.conv1(inputs), training=training))
        x = self.bn2(self.conv2(x), training=training)
        return self.relu(x + self.shortcut(inputs, training=training))


class ResNet(keras.Model):
    """Stages in a list of Sequentials, known by their first call on data only."""

    def __init__(self, block_counts=(2, 1), num_classes=5):
        super().__init__()
        self.stem = layers.Conv2D(8, 3, padding="same")
        self.stages = []
        for index, count in enumerate(block_counts):
            filters, strides = 8 * 2**index, 1 + (index > 0)
            blocks = [ResidualBlock(filters, strides if block == 0 else 1) for block in range(count)]
            self.stages.append(keras.Sequential(blocks))
        self.pool = layers.GlobalAveragePooling2D()
        self.head = layers.Dense(num_classes)

    def call(self, x, training=None):
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x, training=training)
        return self.head(self.pool(x))


def subclassed_resnet():
    model, x = ResNet(), images(8)
    model(x)
    return model, x


class ConvBlock(layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.convs = [layers.Conv2D(filters, 3, padding="same") for _ in range(2)]
        self.norms = [layers.BatchNormalization() for _ in range(2)]

    def call(self, x, training=False):
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = ops.relu(norm(conv(x), training=training))
        return x


class UpBlock(layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.up = layers.Conv2DTranspose(filters, 2, strides=2)
        self.block = ConvBlock(filters)

    def call(self, x, skip, training=False):
        x = ops.concatenate([self.up(x), skip], axis=-1)
        return self.block(x, training=training)


class UNet(keras.Model):
    def __init__(self, widths=(6, 12), num_classes=2):
        super().__init__()
        self.down = [ConvBlock(width) for width in widths]
        self.pool = layers.MaxPooling2D()
        self.bottom = ConvBlock(2 * widths[-1])
        self.up = [UpBlock(width) for width in reversed(widths)]
        self.mask = layers.Conv2D(num_classes, 1, activation="sigmoid")

    def call(self, x, training=False):
        skips = []
        for block in self.down:
            x = block(x, training=training)
            skips.append(x)
            x = self.pool(x)
        x = self.bottom(x, training=training)
        for block, skip in zip(self.up, reversed(skips), strict=True):
            x = block(x, skip, training=training)
        return self.mask(x)


def unet():
    model, x = UNet(), images(8)
    model(x)
    return model, x


class LayerScale(layers.Layer):
    def __init__(self, init_values, projection_dim, **kwargs):
        super().__init__(**kwargs)
        self.init_values = init_values
        self.projection_dim = projection_dim

    def build(self, _):
        self.gamma = self.add_weight(
            shape=(self.projection_dim,), initializer=keras.initializers.Constant(self.init_values), name="gamma"
        )

    def call(self, x):
        return x * self.gamma


class ConvNeXtBlock(layers.Layer):
    def __init__(self, dim, drop_path=0.1, **kwargs):
        super().__init__(**kwargs)
        self.layers_ = [
            layers.Conv2D(dim, 3, padding="same", groups=dim),
            layers.LayerNormalization(epsilon=1e-6),
            layers.Dense(4 * dim),
            layers.Activation("gelu"),
            layers.Dense(dim),
            LayerScale(0.5, dim),
            StochasticDepth(drop_path),
        ]

    def call(self, inputs):
        x = inputs
        for layer in self.layers_:
            x = layer(x)
        return inputs + x


def convnext():
    inputs = keras.Input((8, 8, 3))
    x = layers.LayerNormalization(epsilon=1e-6)(layers.Conv2D(12, 2, strides=2)(inputs))
    x = ConvNeXtBlock(12)(ConvNeXtBlock(12)(x))
    x = layers.LayerNormalization(epsilon=1e-6)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(4)(x)), images(8)


class SqueezeExcite(layers.Layer):
    def __init__(self, ratio=2, **kwargs):
        super().__init__(**kwargs)
        self.ratio = ratio

    def build(self, input_shape):
        channels = input_shape[-1]
        self.squeeze = layers.Dense(channels // self.ratio, activation="relu", kernel_initializer="he_normal")
        self.excite = layers.Dense(channels, activation="sigmoid", kernel_initializer="he_normal")

    def call(self, x):
        gate = ops.mean(x, axis=[1, 2])
        gate = self.excite(self.squeeze(gate))
        return x * ops.reshape(gate, (-1, 1, 1, x.shape[-1]))


def squeeze_excite_network():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(12, 3, padding="same", activation="relu")(inputs)
    x = SqueezeExcite()(x)
    y = layers.Conv2D(12, 3, padding="same", activation="relu")(x)
    x = layers.add([x, SqueezeExcite(3)(y)])
    x = layers.GlobalMaxPooling2D()(x)
    return keras.Model(inputs, layers.Dense(4)(x)), images(8)


class ChannelAttention(layers.Layer):
    def __init__(self, ratio=2):
        super().__init__()
        self.ratio = ratio

    def build(self, input_shape):
        self.shared = keras.Sequential(
            [layers.Dense(input_shape[-1] // self.ratio, activation="relu"), layers.Dense(input_shape[-1])]
        )
        super().build(input_shape)

    def call(self, x):
        average = self.shared(ops.mean(x, axis=(1, 2), keepdims=True))
        largest = self.shared(ops.max(x, axis=(1, 2), keepdims=True))
        return x * ops.sigmoid(average + largest)


class SpatialAttention(layers.Layer):
    def __init__(self, kernel_size=3):
        super().__init__()
        self.conv = layers.Conv2D(1, kernel_size, padding="same", use_bias=False, activation="sigmoid")

    def call(self, x):
        average, largest = ops.mean(x, axis=-1, keepdims=True), ops.max(x, axis=-1, keepdims=True)
        return x * self.conv(ops.concatenate([average, largest], axis=-1))


class CBAM(layers.Layer):
    """Attention to channels, then to places: the mean and the largest over all channels are taken."""

    def __init__(self):
        super().__init__()
        self.attention = {"channel": ChannelAttention(), "spatial": SpatialAttention()}

    def call(self, x):
        return self.attention["spatial"](self.attention["channel"](x))


def cbam():
    inputs = keras.Input((8, 8, 3))
    x = inputs
    for filters in (8, 12):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.Activation("relu")(layers.BatchNormalization()(x))
        x = CBAM()(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Dense(16, activation="relu")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(4)(x)), images(8)


class ConvBN(layers.Layer):
    def __init__(self, filters, kernel_size, **kwargs):
        super().__init__(**kwargs)
        self.conv = layers.Conv2D(filters, kernel_size, padding="same", use_bias=False)
        self.bn = layers.BatchNormalization(scale=False)

    def call(self, x, training=None):
        return keras.activations.relu(self.bn(self.conv(x), training=training))


class InceptionModule(layers.Layer):
    """Branches in a dictionary, each a list of layers."""

    def __init__(self, filters):
        super().__init__()
        self.branches = {
            "one": [ConvBN(filters, 1)],
            "three": [ConvBN(filters // 2, 1), ConvBN(filters, 3)],
            "five": [ConvBN(filters // 2, 1), ConvBN(filters, 3), ConvBN(filters, 3)],
            "pool": [layers.MaxPooling2D(3, strides=1, padding="same"), ConvBN(filters // 2, 1)],
        }

    def call(self, x, training=None):
        outputs = []
        for branch in self.branches.values():
            y = x
            for layer in branch:
                y = layer(y, training=training) if isinstance(layer, ConvBN) else layer(y)
            outputs.append(y)
        return ops.concatenate(outputs, axis=-1)


class Inception(keras.Model):
    def __init__(self, num_classes=4):
        super().__init__()
        self.stem = ConvBN(8, 3)
        self.modules = [InceptionModule(6), InceptionModule(8)]
        self.pool = layers.GlobalAveragePooling2D()
        self.dropout = layers.Dropout(0.4)
        self.auxiliary = layers.Dense(num_classes)
        self.classifier = layers.Dense(num_classes)

    def call(self, x, training=None):
        x = self.modules[0](self.stem(x), training=training)
        early = self.auxiliary(self.pool(x))
        x = self.modules[1](x, training=training)
        x = self.dropout(self.pool(x), training=training)
        return {"classes": self.classifier(x), "auxiliary": early}


def inception():
    """The outputs are a dictionary."""
    model, x = Inception(), images(8)
    model(x)
    return model, x


class DepthwiseSeparable(layers.Layer):
    def __init__(self, filters, strides=1, **kwargs):
        super().__init__(**kwargs)
        self.block = keras.Sequential(
            [
                layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False),
                layers.BatchNormalization(),
                layers.ReLU(max_value=6.0),
                layers.Conv2D(filters, 1, padding="same", use_bias=False),
                layers.BatchNormalization(),
                layers.ReLU(max_value=6.0),
            ]
        )

    def call(self, x, training=None):
        return self.block(x, training=training)


def keyword_spotting():
    """DS-CNN: a Sequential of custom layers."""
    model = keras.Sequential(
        [
            keras.Input((10, 8, 1)),
            layers.Conv2D(12, (5, 4), strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            *(DepthwiseSeparable(12) for _ in range(2)),
            DepthwiseSeparable(16, strides=2),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4),
        ]
    )
    return model, images(10, 1)[:, :, :8]
