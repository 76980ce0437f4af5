"""Look-alikes of keras_hub: Functional models with constructors of their own, whose heads hold a backbone's table."""

import copy
import pickle

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.versions import needs_keras
from support.zoo import predict, value

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked

pytestmark = pytest.mark.core


@keras.saving.register_keras_serializable("tied")
class TokenAndPosition(layers.Layer):
    """A composite of a table and of positions, whose table others hold too."""

    def __init__(self, vocabulary, width, length, **kwargs):
        super().__init__(**kwargs)
        self.sizes = {"vocabulary": vocabulary, "width": width, "length": length}
        self.token_embedding = layers.Embedding(vocabulary, width, name="token_embedding")
        self.position_embedding = layers.Embedding(length, width, name="position_embedding")

    def build(self, shape):
        self.token_embedding.build(shape)
        self.position_embedding.build((self.sizes["length"],))

    def call(self, tokens):
        return self.token_embedding(tokens) + self.position_embedding(ops.arange(ops.shape(tokens)[1]))

    def compute_output_shape(self, shape):
        return (*shape, self.sizes["width"])

    def get_config(self):
        return {**super().get_config(), **self.sizes}


@keras.saving.register_keras_serializable("tied")
class Backbone(keras.Model):
    def __init__(self, width=6, **kwargs):
        embedding = TokenAndPosition(10, width, 5, name="embedding")
        tokens = keras.Input((5,), dtype="int32", name="tokens")
        super().__init__(tokens, layers.Dense(width, activation="relu", name="mix")(embedding(tokens)), **kwargs)
        self.token_embedding, self.width = embedding.token_embedding, width

    def get_config(self):
        return {"name": self.name, "width": self.width}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable("tied")
class Head(layers.Layer):
    def __init__(self, token_embedding, **kwargs):
        super().__init__(**kwargs)
        self.token_embedding = token_embedding

    def build(self, shape):
        self.dense = layers.Dense(self.token_embedding.output_dim, name="dense")
        self.dense.build(shape)

    def call(self, inputs):
        return ops.matmul(self.dense(inputs), ops.transpose(self.token_embedding.embeddings))


@keras.saving.register_keras_serializable("tied")
class LanguageModel(keras.Model):
    def __init__(self, backbone, **kwargs):
        head = Head(backbone.token_embedding, name="head")
        super().__init__(backbone.input, head(backbone(backbone.input)), **kwargs)
        self.backbone, self.head = backbone, head

    def get_config(self):
        return {"name": self.name, "backbone": keras.saving.serialize_keras_object(self.backbone)}

    @classmethod
    def from_config(cls, config):
        return cls(**config | {"backbone": keras.saving.deserialize_keras_object(config["backbone"])})

    def save_to_preset(self, folder):
        type(self).seen = {  # of the class: the model that is saved need not be the one that was asked
            "class": keras.saving.get_registered_name(type(self)),
            "config": self.get_config(),
            "weights": [value(weight) for weight in self.weights],
        }


def language_model():
    return LanguageModel(Backbone(name="backbone"), name="task")


def tokens():
    return np.random.default_rng(0).integers(0, 10, (8, 5)).astype("int32")


@pytest.fixture
def pruned():
    return kp.prune_weights(language_model(), 0.5)


def assert_tied(model, like):
    assert [weight.path for weight in find_masked(model)] == [weight.path for weight in find_masked(like)]
    assert len(model.trainable_variables) == len(like.trainable_variables)
    for one, other in zip(find_masked(model), find_masked(like), strict=True):
        np.testing.assert_array_equal(one.kept(), other.kept())
    assert model.head.token_embedding.embeddings is model.backbone.token_embedding.embeddings
    np.testing.assert_array_equal(predict(model, tokens())[0], predict(like, tokens())[0])


def test_the_table_has_one_mask(pruned):
    masked = find_masked(pruned)
    assert len({id(weight.weight) for weight in masked}) == len(masked) == 4
    assert sum(weight.weight is pruned.backbone.token_embedding.embeddings for weight in masked) == 1
    report = kp.summary(pruned)
    assert report.prunable_sparsity == pytest.approx(0.5, abs=0.02)
    plain = language_model()
    assert report.parameters == plain.count_params() == kp.summary(plain).parameters
    kp.strip_pruning(pruned)
    assert pruned.count_params() == plain.count_params()
    assert np.mean(value(pruned.backbone.token_embedding.embeddings) == 0) == 0.5


def test_files_and_copies_keep_the_tie(pruned, tmp_path):
    pruned.save(tmp_path / "model.keras")
    pruned.save_weights(tmp_path / "model.weights.h5")
    assert_tied(keras.saving.load_model(tmp_path / "model.keras"), pruned)
    other = kp.wrap_pruning(language_model())
    other.load_weights(tmp_path / "model.weights.h5")
    assert_tied(other, pruned)
    assert_tied(pickle.loads(pickle.dumps(pruned)), pruned)
    assert_tied(copy.deepcopy(pruned), pruned)


# Before Keras 3.15 a layer that is set on a Functional model is none of its layers.
@needs_keras("3.15")
def test_masks_of_a_part_before_those_of_the_whole(tmp_path):
    """A mask in a composite layer, on which the place of another weight in it must not depend."""
    model = language_model()
    kp.wrap_pruning(model, layers=lambda layer: layer is model.backbone.token_embedding)
    kp.wrap_pruning(model)
    assert len(find_masked(model)) == 4
    kp.prune_weights(model, 0.5).save(tmp_path / "model.keras")
    assert_tied(keras.saving.load_model(tmp_path / "model.keras"), model)


@pytest.mark.parametrize("importance", ["wanda", "taylor"])
def test_training_and_criteria_on_data(importance):
    model = kp.wrap_pruning(language_model())
    x = tokens()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    schedule = kp.PruningSchedule(kp.ConstantSparsity(0.5), importance=importance)
    model.fit(x, x, epochs=2, verbose=0, callbacks=[schedule])
    for weight in find_masked(model):
        assert weight.kept().mean() == pytest.approx(0.5, abs=0.02)
        assert (value(weight.weight)[~weight.kept()] == 0).all()


def test_quantize_and_lora_after_the_masks(pruned):
    pruned.backbone.get_layer("mix").enable_lora(2)
    assert len(find_masked(pruned)) == 4
    other = kp.prune_weights(language_model(), 0.5)
    other.quantize("int8")
    table = value(other.backbone.token_embedding._embeddings)
    assert table.dtype == np.int8
    assert np.mean(table == 0) >= 0.5
    assert find_masked(other) == []


def test_a_preset_holds_the_plain_model(pruned):
    before = predict(pruned, tokens())[0]
    with pytest.warns(UserWarning, match=r"the zeros are saved, the masks are not.* Received: the model 'task'"):
        pruned.save_to_preset("folder")
    plain = language_model()
    assert pruned.seen["class"] == "tied>LanguageModel"
    assert [weight.shape for weight in pruned.seen["weights"]] == [tuple(weight.shape) for weight in plain.weights]
    plain.set_weights(pruned.seen["weights"])
    np.testing.assert_array_equal(predict(plain, tokens())[0], before)
    assert isinstance(pruned, kp.masking.PrunedModel)
    assert len(find_masked(pruned)) == 4
    assert not hasattr(kp.wrap_pruning(keras.Sequential([keras.Input((3,)), layers.Dense(2)])), "save_to_preset")


def test_a_model_has_its_class_while_its_preset_is_written(pruned, monkeypatch):
    """Another thread may train it, or save it, meanwhile."""
    seen = []

    def save(self, folder):
        seen.append((type(self), type(pruned), self.backbone is pruned.backbone))
        if folder is None:
            raise OSError("no folder")

    monkeypatch.setattr(LanguageModel, "save_to_preset", save)
    with pytest.warns(UserWarning, match="the zeros are saved"):
        pruned.save_to_preset("folder")
    with pytest.warns(UserWarning, match="the zeros are saved"), pytest.raises(OSError, match="no folder"):
        pruned.save_to_preset(None)
    assert seen == [(LanguageModel, type(pruned), True)] * 2
    assert issubclass(type(pruned), kp.masking.PrunedModel)
    pruned.compile("sgd", "mse")
    pruned.fit(tokens(), predict(pruned, tokens())[0] + 1, verbose=0)
    assert len(find_masked(pruned)) == 4
    assert all(np.mean(value(masked.weight) == 0) >= 0.5 for masked in find_masked(pruned))


def test_channels_of_a_graph_with_a_class_of_its_own():
    model = language_model()
    small = kp.prune_channels(model, 0.5).model
    assert type(small) is not type(model)
    assert small.count_params() < model.count_params()
    plain = keras.Model(*(lambda model: (model.input, model.output))(Backbone()))
    assert kp.prune_channels(plain, 0.5).model.count_params() <= plain.count_params()
