"""Composites as those of keras_hub: layers of several layers, and models with a constructor of their own."""

import keras
import numpy as np
from keras import layers, ops

import keras_prune as kp


@keras.saving.register_keras_serializable("composites")
class Feedforward(layers.Layer):
    """Two Dense layers and a shortcut; of `gated` ones, half of `units` each in a gate and in what is gated."""

    def __init__(self, units, gated=False, **kwargs):
        super().__init__(**kwargs)
        self.units, self.gated = units, gated

    def build(self, input_shape):
        width = self.units // 2 if self.gated else self.units
        self.first = layers.Dense(width, activation="relu", name="first")
        self.first.build(input_shape)
        if self.gated:
            self.gate = layers.Dense(width, activation="sigmoid", name="gate")
            self.gate.build(input_shape)
        self.second = layers.Dense(input_shape[-1], name="second")
        self.second.build((*input_shape[:-1], width))

    def call(self, inputs):
        hidden = self.first(inputs)
        return inputs + self.second(hidden * self.gate(inputs) if self.gated else hidden)

    def get_config(self):
        return {**super().get_config(), "units": self.units, "gated": self.gated}


class Counting(layers.Layer):
    """Adds to each step its number: a constant that is as long as there are steps."""

    def call(self, inputs):
        return inputs + np.arange(inputs.shape[1], dtype="float32")[:, None] / 10

    def compute_output_shape(self, input_shape):
        return input_shape


class Averaging(Feedforward):
    """Its result depends on the number of units beyond the weights."""

    def call(self, inputs):
        return inputs + self.second(self.first(inputs)) / self.units


@keras.saving.register_keras_serializable("composites")
class Heads(layers.Layer):
    """Attention over the entries of a vector: those of a head are as many as there are heads."""

    def __init__(self, heads, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads

    def build(self, input_shape):
        self.attention = layers.MultiHeadAttention(self.heads, input_shape[-1] // self.heads, name="attention")
        self.attention.build(input_shape, input_shape)

    def call(self, inputs):
        return inputs + self.attention(inputs, inputs)

    def get_config(self):
        return {**super().get_config(), "heads": self.heads}


@keras.saving.register_keras_serializable("composites")
class Backbone(keras.Model):
    """A Functional model with a constructor of its own: one size for all its blocks."""

    def __init__(self, width=6, units=8, blocks=2, gated=False, name=None, **kwargs):
        inputs = keras.Input((3, 4), name="inputs")
        hidden = layers.Dense(width, name="stem")(inputs)
        for index in range(blocks):
            hidden = Feedforward(units, gated, name=f"block{index}")(hidden)
        super().__init__(inputs, layers.LayerNormalization(name="norm")(hidden), name=name, **kwargs)
        self.settings = {"width": width, "units": units, "blocks": blocks, "gated": gated}

    def get_config(self):
        return {"name": self.name, **self.settings}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable("composites")
class Doubling(layers.Layer):
    """A preprocessor: what its configuration does not say is lost."""

    factor = 1.0

    def call(self, inputs):
        return self.factor * inputs


@keras.saving.register_keras_serializable("composites")
class Task(keras.Model):
    """A backbone and a head, as the tasks of keras_hub."""

    def __init__(self, backbone, preprocessor=None, classes=2, name=None):
        pooled = ops.mean(backbone.output, axis=1)
        super().__init__(backbone.input, layers.Dense(classes, name="logits")(pooled), name=name)
        self.backbone, self.preprocessor, self.classes = backbone, preprocessor, classes

    def get_config(self):
        return {
            "backbone": keras.layers.serialize(self.backbone),
            "preprocessor": keras.layers.serialize(self.preprocessor) if self.preprocessor else None,
            "classes": self.classes,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        for key in ("backbone", "preprocessor"):
            if isinstance(config[key], dict):
                config[key] = keras.layers.deserialize(config[key])
        return cls(**config)


kp.channels.register_composite(Feedforward, "units")
kp.channels.register_composite(Backbone, "units", kept={"width": "other models read it"})
