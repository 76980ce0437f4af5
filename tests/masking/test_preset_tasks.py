"""Presets of a plain task around a backbone with masks, as keras_hub writes them: the backbone saves itself."""

import json

import keras
import numpy as np
import pytest
from keras import layers
from support.zoo import predict

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked

pytestmark = pytest.mark.core


def written(model):
    return json.dumps(keras.saving.serialize_keras_object(model))


@keras.saving.register_keras_serializable("preset_tasks")
class Backbone(keras.Model):
    def __init__(self, **kwargs):
        inputs = keras.Input((4,), name="inputs")
        super().__init__(inputs, layers.Dense(6, name="mix")(inputs), **kwargs)

    def get_config(self):
        return {"name": self.name}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def save_to_preset(self, folder):
        (folder / "config.json").write_text(written(self))
        self.save_weights(folder / "model.weights.h5")


@keras.saving.register_keras_serializable("preset_tasks")
class Task(keras.Model):
    def __init__(self, backbone, **kwargs):
        super().__init__(backbone.input, backbone(backbone.input), **kwargs)
        self.backbone = backbone

    def get_config(self):
        return {"name": self.name, "backbone": keras.saving.serialize_keras_object(self.backbone)}

    @classmethod
    def from_config(cls, config):
        return cls(**config | {"backbone": keras.saving.deserialize_keras_object(config["backbone"])})

    def save_to_preset(self, folder):
        (folder / "task.json").write_text(written(self))
        self.backbone.save_to_preset(folder)


def load(folder):
    task = keras.saving.deserialize_keras_object(json.loads((folder / "task.json").read_text()))
    task.backbone.load_weights(folder / "model.weights.h5")
    return task


@pytest.mark.parametrize("whole", [False, True])
def test_it_loads_as_a_plain_task(tmp_path, whole):
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    if whole:
        task = kp.prune_weights(Task(Backbone(name="backbone"), name="task"), 0.5)
    else:
        task = Task(kp.prune_weights(Backbone(name="backbone"), 0.5), name="task")
    before = predict(task, x)[0]
    with pytest.warns(UserWarning, match="the zeros are saved, the masks are not"):
        task.save_to_preset(tmp_path)
    loaded = load(tmp_path)
    assert (type(loaded), type(loaded.backbone)) == (Task, Backbone)
    np.testing.assert_array_equal(predict(loaded, x)[0], before)
    assert len(find_masked(loaded)) == 0
    assert len(find_masked(task)) == 1
    assert "attached" not in (tmp_path / "task.json").read_text()
