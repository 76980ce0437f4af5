"""Networks of tables, points, rays, graphs and pairs."""

import keras
import numpy as np
from keras import layers, ops


def numbers(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


class Cross(layers.Layer):
    """x0 * (W x + b) + x."""

    def build(self, input_shape):
        width = input_shape[0][-1]
        self.kernel = self.add_weight(shape=(width, width), name="kernel")
        self.bias = self.add_weight(shape=(width,), initializer="zeros", name="bias")

    def call(self, inputs):
        x0, x = inputs
        return x0 * (ops.matmul(x, self.kernel) + self.bias) + x


class DeepAndCross(keras.Model):
    """Its inputs are a dictionary, its embeddings too."""

    def __init__(self, vocabularies, numeric, dim=6):
        super().__init__()
        self.numeric = numeric
        self.embeddings = {name: layers.Embedding(size, dim) for name, size in vocabularies.items()}
        self.cross = [Cross() for _ in range(2)]
        self.deep = keras.Sequential(
            [layers.Dense(24, activation="relu"), layers.Dropout(0.2), layers.Dense(24, activation="relu")]
        )
        self.out = layers.Dense(1, activation="sigmoid")

    def call(self, features, training=False):
        encoded = [ops.squeeze(embed(features[name]), 1) for name, embed in self.embeddings.items()]
        x0 = ops.concatenate(encoded + [features[name] for name in self.numeric], axis=-1)
        x = x0
        for layer in self.cross:
            x = layer((x0, x))
        return self.out(ops.concatenate([x, self.deep(x0, training=training)], axis=-1))


def deep_and_cross():
    rng = np.random.default_rng(1)
    sizes = {"genre": 5, "city": 8}
    x = {name: rng.integers(0, size, (3, 1)).astype("int32") for name, size in sizes.items()}
    x |= {"age": numbers(3, 1), "income": numbers(3, 1, seed=2)}
    model = DeepAndCross(sizes, ["age", "income"])
    model(x)
    return model, x


def tab_transformer(embedding_dims=8):
    """Functional, with inputs that are a dictionary, and a column embedding looked up by constants."""
    sizes = {"education": 5, "work": 6, "country": 4}
    inputs = {name: keras.Input((), name=name, dtype="int32") for name in sizes}
    inputs |= {name: keras.Input((1,), name=name) for name in ("hours", "gain")}
    columns = [layers.Embedding(size, embedding_dims)(inputs[name]) for name, size in sizes.items()]
    encoded = ops.stack(columns, axis=1)
    numeric = layers.concatenate([inputs["hours"], inputs["gain"]])
    column_embedding = layers.Embedding(input_dim=len(sizes), output_dim=embedding_dims)
    encoded = encoded + column_embedding(ops.arange(start=0, stop=len(sizes), step=1))
    for _ in range(2):
        attention = layers.MultiHeadAttention(num_heads=2, key_dim=embedding_dims, dropout=0.1)(encoded, encoded)
        x = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([attention, encoded]))
        feedforward = keras.Sequential([layers.Dense(16, activation="gelu"), layers.Dense(embedding_dims)])(x)
        encoded = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([feedforward, x]))
    features = layers.concatenate([layers.Flatten()(encoded), layers.LayerNormalization(epsilon=1e-6)(numeric)])
    for units in (24, 12):
        features = layers.BatchNormalization()(features)
        features = layers.Dense(units, activation="selu")(features)
    model = keras.Model(inputs, layers.Dense(1)(features))
    rng = np.random.default_rng(1)
    x = {name: rng.integers(0, size, 3).astype("int32") for name, size in sizes.items()}
    return model, x | {"hours": numbers(3, 1), "gain": numbers(3, 1, seed=2)}


class GatedLinearUnit(layers.Layer):
    def __init__(self, units):
        super().__init__()
        self.linear = layers.Dense(units)
        self.sigmoid = layers.Dense(units, activation="sigmoid")

    def call(self, inputs):
        return self.linear(inputs) * self.sigmoid(inputs)


class GatedResidualNetwork(layers.Layer):
    def __init__(self, units, dropout_rate):
        super().__init__()
        self.units = units
        self.elu_dense = layers.Dense(units, activation="elu")
        self.linear_dense = layers.Dense(units)
        self.dropout = layers.Dropout(dropout_rate)
        self.gated_linear_unit = GatedLinearUnit(units)
        self.layer_norm = layers.LayerNormalization()
        self.project = layers.Dense(units)

    def call(self, inputs):
        x = self.elu_dense(inputs)
        x = self.linear_dense(x)
        x = self.dropout(x)
        if inputs.shape[-1] != self.units:
            inputs = self.project(inputs)
        x = inputs + self.gated_linear_unit(x)
        return self.layer_norm(x)


class VariableSelection(layers.Layer):
    """A network for each feature, and one that says how much each counts."""

    def __init__(self, num_features, units, dropout_rate):
        super().__init__()
        self.grns = []
        for _ in range(num_features):
            self.grns.append(GatedResidualNetwork(units, dropout_rate))
        self.grn_concat = GatedResidualNetwork(units, dropout_rate)
        self.softmax = layers.Dense(units=num_features, activation="softmax")

    def call(self, inputs):
        v = layers.concatenate(inputs)
        v = self.grn_concat(v)
        v = ops.expand_dims(self.softmax(v), axis=-1)
        x = []
        for idx, feature in enumerate(inputs):
            x.append(self.grns[idx](feature))
        x = ops.stack(x, axis=1)
        return ops.squeeze(ops.matmul(ops.transpose(v, axes=[0, 2, 1]), x), axis=1)


class TemporalFusion(keras.Model):
    def __init__(self, num_features=3, units=12):
        super().__init__()
        self.encode = [layers.Dense(units) for _ in range(num_features)]
        self.selection = VariableSelection(num_features, units, 0.1)
        self.rnn = layers.LSTM(units, return_sequences=True)
        self.gate = GatedResidualNetwork(units, 0.1)
        self.quantiles = layers.Dense(3)

    def call(self, inputs):
        features = [dense(inputs[:, 0, index : index + 1]) for index, dense in enumerate(self.encode)]
        static = self.selection(features)
        x = self.rnn(inputs) + ops.expand_dims(static, 1)
        return self.quantiles(self.gate(x)[:, -1])


def temporal_fusion():
    model, x = TemporalFusion(), numbers(3, 5, 3)
    model(x)
    return model, x


class GraphAttention(layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[0][-1], self.units), name="kernel")
        self.kernel_attention = self.add_weight(shape=(self.units * 2, 1), name="kernel_attention")
        self.built = True

    def call(self, inputs):
        node_states, adjacency = inputs
        transformed = ops.matmul(node_states, self.kernel)
        own = ops.matmul(transformed, self.kernel_attention[: self.units])
        others = ops.matmul(transformed, self.kernel_attention[self.units :])
        scores = ops.leaky_relu(own + ops.transpose(others, (0, 2, 1)))
        scores = ops.where(adjacency > 0, scores, -1e9)
        return ops.matmul(ops.softmax(scores, axis=-1), transformed)


class MultiHeadGraphAttention(layers.Layer):
    def __init__(self, units, num_heads=2, merge_type="concat", **kwargs):
        super().__init__(**kwargs)
        self.merge_type = merge_type
        self.attention_layers = [GraphAttention(units) for _ in range(num_heads)]

    def call(self, inputs):
        outputs = [layer(inputs) for layer in self.attention_layers]
        if self.merge_type == "concat":
            return ops.relu(ops.concatenate(outputs, axis=-1))
        return ops.relu(ops.mean(ops.stack(outputs, axis=-1), axis=-1))


class GraphAttentionNetwork(keras.Model):
    def __init__(self, hidden_units=6, num_heads=2, num_layers=2, output_dim=3):
        super().__init__()
        self.preprocess = layers.Dense(hidden_units * num_heads, activation="relu")
        self.attention_layers = [MultiHeadGraphAttention(hidden_units, num_heads) for _ in range(num_layers)]
        self.output_layer = layers.Dense(output_dim)

    def call(self, inputs):
        node_states, adjacency = inputs
        x = self.preprocess(node_states)
        for attention_layer in self.attention_layers:
            x = attention_layer([x, adjacency]) + x
        return self.output_layer(x)


def graph_attention():
    adjacency = (numbers(2, 5, 5, seed=2) > 0) | np.eye(5, dtype=bool)
    x = [numbers(2, 5, 4), adjacency.astype("float32")]
    model = GraphAttentionNetwork()
    model(x)
    return model, x


class PositionalEncoding(layers.Layer):
    """Sines and cosines of points."""

    def __init__(self, frequencies=4):
        super().__init__()
        self.frequencies = frequencies

    def call(self, x):
        positions = [x]
        for i in range(self.frequencies):
            for fn in [ops.sin, ops.cos]:
                positions.append(fn(2.0**i * x))
        return ops.concatenate(positions, axis=-1)


class NeRF(keras.Model):
    """Rays in, colour and density out; what was read is read again in the middle."""

    def __init__(self, num_layers=4, units=16):
        super().__init__()
        self.encode = PositionalEncoding()
        self.hidden = [layers.Dense(units, activation="relu") for _ in range(num_layers)]
        self.out = layers.Dense(4)

    def call(self, rays):
        encoded = self.encode(rays)
        x = encoded
        for i, dense in enumerate(self.hidden):
            x = dense(x)
            if i % 4 == 0 and i > 0:
                x = layers.concatenate([x, encoded], axis=-1)
            if i == 1:
                x = ops.concatenate([x, encoded], axis=-1)
        predictions = self.out(x)
        rgb, sigma = ops.sigmoid(predictions[..., :-1]), ops.relu(predictions[..., -1])
        return rgb, sigma


def nerf():
    """Two outputs, a tuple."""
    model, x = NeRF(), numbers(2, 6, 3)
    model(x)
    return model, x


def conv_bn(x, filters):
    x = layers.Conv1D(filters, kernel_size=1, padding="valid")(x)
    return layers.Activation("relu")(layers.BatchNormalization(momentum=0.0)(x))


class TNet(layers.Layer):
    """Makes a matrix for the features and multiplies them by it."""

    def __init__(self, num_features, **kwargs):
        super().__init__(**kwargs)
        self.num_features = num_features
        self.convs = [layers.Conv1D(width, 1, activation="relu") for width in (8, 16)]
        self.norms = [layers.BatchNormalization() for _ in range(2)]
        self.hidden = layers.Dense(12, activation="relu")
        self.matrix = layers.Dense(
            num_features * num_features,
            kernel_initializer="zeros",
            bias_initializer=keras.initializers.Constant(np.eye(num_features).flatten()),
        )
        self.dot = layers.Dot(axes=(2, 1))

    def call(self, inputs, training=False):
        x = inputs
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = norm(conv(x), training=training)
        x = self.hidden(ops.max(x, axis=1))
        transform = ops.reshape(self.matrix(x), (-1, self.num_features, self.num_features))
        return self.dot([inputs, transform])


def pointnet():
    inputs = keras.Input((9, 3))
    x = TNet(3)(inputs)
    x = conv_bn(x, 8)
    x = TNet(8)(x)
    x = conv_bn(conv_bn(x, 8), 16)
    x = layers.GlobalMaxPooling1D()(x)
    x = layers.Dropout(0.3)(layers.Dense(16, activation="relu")(x))
    return keras.Model(inputs, layers.Dense(4)(x)), numbers(3, 9, 3)


class DistanceLayer(layers.Layer):
    """The distances of an anchor from a like and an unlike one."""

    def call(self, anchor, positive, negative):
        ap_distance = ops.sum(ops.square(anchor - positive), -1)
        an_distance = ops.sum(ops.square(anchor - negative), -1)
        return (ap_distance, an_distance)


class SiameseModel(keras.Model):
    """A model that holds a model and does its own training."""

    def __init__(self, siamese_network, margin=0.5):
        super().__init__()
        self.siamese_network = siamese_network
        self.margin = margin
        self.loss_tracker = keras.metrics.Mean(name="loss")

    def call(self, inputs):
        return self.siamese_network(inputs)


def siamese():
    base = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(16, activation="relu"),
            layers.BatchNormalization(),
            layers.Dense(12),
        ],
        name="embedding",
    )
    inputs = [keras.Input((8, 8, 3), name=name) for name in ("anchor", "positive", "negative")]
    distances = DistanceLayer()(*(base(each) for each in inputs))
    model = SiameseModel(keras.Model(inputs, distances))
    x = [numbers(2, 8, 8, 3, seed=seed) for seed in (1, 2, 3)]
    model(x)
    return model, x
