"""`ReversibleEmbedding`: the table of the way back is pruned too, and each is measured on what it reads."""

import keras
import numpy as np
import pytest
from keras import layers
from support.versions import needs_keras
from support.zoo import predict, value

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked

pytestmark = [pytest.mark.core, needs_keras("3.12", "layers.ReversibleEmbedding")]


def language_model(tied):
    inputs = keras.Input((5,), dtype="int32")
    table = layers.ReversibleEmbedding(10, 6, tie_weights=tied, name="table")
    return keras.Model(inputs, table(layers.Dense(6, activation="relu", name="dense")(table(inputs)), reverse=True))


@pytest.fixture
def tokens(rng):
    return rng.integers(0, 8, (12, 5)).astype("int32")


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("importance", ["magnitude", "wanda"])
def test_both_tables_are_pruned_and_named(tied, importance, tokens, tmp_path):
    model = language_model(tied)
    data = {} if importance == "magnitude" else {"data": tokens}
    pruned = kp.prune_weights(model, 0.5, importance=importance, **data)
    names = [weight.path for weight in find_masked(pruned)]
    assert names == ["table/embeddings", *([] if tied else ["table/reverse_embeddings"]), "dense/kernel"]
    table = kp.strip_pruning(pruned).get_layer("table")
    for name in ("embeddings",) if tied else ("embeddings", "reverse_embeddings"):
        assert np.mean(value(getattr(table, name)) == 0) == 0.5
    pruned.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(predict(loaded, tokens)[0], predict(pruned, tokens)[0])


@pytest.mark.parametrize("tied", [True, False])
def test_each_table_is_measured_on_its_inputs(tied, tokens):
    model = language_model(tied)
    pruned = kp.prune_weights(model, 0.5, importance="wanda", data=tokens)
    found = {weight.name: weight for weight in find_masked(pruned)}
    table = model.get_layer("table")
    counts = np.bincount(tokens.ravel(), minlength=10) / tokens.size
    unread = ~found["embeddings"].kept()[counts == 0]
    assert unread.all()  # two of ten rows, and half of the others
    if not tied:
        features = np.maximum(value(table.embeddings)[tokens] @ value(model.get_layer("dense").kernel), 0)
        scores = np.abs(value(table.reverse_embeddings)) * np.sqrt(np.square(features).mean(axis=(0, 1)))[:, None]
        kept = found["reverse_embeddings"].kept()
        assert scores[kept].min() >= scores[~kept].max() * (1 - 1e-5)
