"""The training data of `fit` that importances are measured on: all forms and arguments that Keras takes."""

import keras
import numpy as np
import pytest
from support.zoo import mlp

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked
from keras_prune.masking.training_data import TrainingData

pytestmark = pytest.mark.core

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 12)).astype("float32")
Y = RNG.integers(0, 4, 64).astype("int32")
ONLY_FIRST = {0: 1.0, 1: 0.0, 2: 0.0, 3: 0.0}
AS_SAMPLES = (Y == 0).astype("float32")


class Indexed(keras.utils.PyDataset):
    def __init__(self, count, *weights):
        super().__init__()
        self._count = count
        self._arrays = (X, Y, *weights)
        self.seen = []

    @property
    def num_batches(self):
        return self._count

    def __getitem__(self, index):
        self.seen.append(index)
        part = slice(16 * (index % 4), 16 * (index % 4) + 16)
        return tuple(array[part] for array in self._arrays)


def wrapped():
    keras.utils.set_random_seed(0)
    model = kp.wrap_pruning(mlp())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.0), loss)
    return model


def masks(*args, importance="taylor", **kwargs):
    """The masks that a schedule chooses in a `fit` that does not change the weights."""
    model = wrapped()
    schedule = kp.PruningSchedule(kp.ConstantSparsity(0.5), importance=importance)
    model.fit(*args, verbose=0, callbacks=[schedule], **kwargs)
    return np.concatenate([weight.kept().ravel() for weight in find_masked(model)])


def test_class_weights_weigh_the_scores_as_weights_of_samples_do():
    expected = masks(X, Y, sample_weight=AS_SAMPLES)
    assert (expected != masks(X, Y)).any()
    np.testing.assert_array_equal(masks(X, Y, class_weight=ONLY_FIRST), expected)
    np.testing.assert_array_equal(masks(X, Y[:, None], class_weight=ONLY_FIRST), expected)
    expected = masks(Indexed(4, AS_SAMPLES))
    assert (expected != masks(Indexed(4))).any()
    np.testing.assert_array_equal(masks(Indexed(4), class_weight=ONLY_FIRST), expected)


@pytest.mark.filterwarnings("ignore:Nothing was pruned")
def test_arguments_may_be_passed_by_position():
    def fit_arguments(**given):
        order = ["x", "y", "batch_size", "epochs", "verbose", "callbacks", "validation_split", "validation_data"]
        order += ["shuffle", "class_weight", "sample_weight"]
        defaults = {"validation_split": 0.0, "epochs": 1, "shuffle": True}
        return [given.get(name, defaults.get(name)) for name in order]

    for given in ({"class_weight": ONLY_FIRST}, {"sample_weight": AS_SAMPLES}, {"validation_split": 0.5}):
        by_position = seen(
            lambda model, look, given=given: model.fit(*fit_arguments(x=X, y=Y, callbacks=look, **given))
        )
        assert by_position == seen(lambda model, look, given=given: model.fit(X, Y, callbacks=look, verbose=0, **given))
        assert by_position == TrainingData(X, Y, **given)


def seen(fit):
    """The training data that a callback finds in a model."""
    found = []
    look = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: found.append(model._training_data))
    model = wrapped()
    fit(model, [look])
    return found[0]


@pytest.mark.parametrize("given", [{"validation_split": None}, {"validation_split": 0.5, "validation_data": (X, Y)}])
def test_all_samples_are_training_data_where_none_are_split_off(given):
    found = TrainingData.of_fit({"x": X, "y": Y, **given})
    assert found.validation_split == 0.0
    x, _, _ = found.sample(2, seed=0)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(masks(X, Y, **given), masks(X, Y))


def test_a_fit_of_the_users_may_take_other_arguments():
    assert TrainingData.of_fit({"x": X, "y": Y, "unknown": 1}) == TrainingData(X, Y)


@pytest.mark.parametrize("importance", ["wanda", "taylor"])
def test_tables_of_pandas_are_arrays(importance):
    pandas = pytest.importorskip("pandas")
    table, column = pandas.DataFrame(X), pandas.Series(Y)
    expected = masks(X, Y, importance=importance)
    np.testing.assert_array_equal(masks(table, column, importance=importance), expected)
    model = mlp()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    pruned = [
        kp.prune_weights(model, 0.5, importance=importance, data=data, loss=loss)
        for data in ((X, Y), (table, column), (table, pandas.DataFrame(Y)))
    ]
    for one, *others in zip(*map(find_masked, pruned), strict=True):
        for other in others:
            np.testing.assert_array_equal(other.kept(), one.kept())


def test_an_endless_dataset_is_sampled_from_its_beginning():
    data = Indexed(None)
    expected = masks(X, Y, importance="wanda")
    np.testing.assert_array_equal(masks(data, steps_per_epoch=4, importance="wanda"), expected)
    batches = TrainingData(data).sample(3, seed=5)
    assert data.seen[-3:] == [0, 1, 2]
    assert len(batches) == 3
    with pytest.raises(ValueError, match=r"never ends.*Received: a PyDataset"):
        kp.prune_weights(mlp(), 0.5, importance="wanda", data=data)
