"""What users of tfmot rely on before they train: schedules, what is wrapped, files, policies. See tfmot_sides.py."""

import numpy as np
from support.tfmot_sides import behaviour

UNWRAPPED = "Layers without prunable weights are left as they are"
MORE_KINDS = "More kinds are pruned"
OF_ONES_OWN = "A custom layer that names no weights is left as it is"


def schedules(side, begin, end, frequency=10):
    sparsity = side.sparsity
    yield lambda: sparsity.ConstantSparsity(0.5, begin, end, frequency)
    yield lambda: sparsity.PolynomialDecay(0.2, 0.8, begin, end, 3, frequency)


def refused(side, *cases):
    return [[side.refuses(make) for make in schedules(side, *case)] for case in cases]


@behaviour([[True] * 2, [True] * 2, [False] * 2, [False] * 2])
def begin_steps_below_zero_are_refused(side):
    return refused(side, (-1, 1000), (-5, 1000), (0, 1000), (100, 1000))


@behaviour([[True] * 2, [False] * 2, [False] * 2])
def end_steps_below_zero_are_refused(side):
    return refused(side, (10, -5), (0, 0), (0, 100))


@behaviour([[True] * 2, [False] * 2, [False] * 2])
def end_steps_before_the_begin_are_refused(side):
    return refused(side, (10, 5), (10, 10), (10, 20))


@behaviour([[True] * 2, [True] * 2, [False] * 2])
def frequencies_below_one_are_refused(side):
    return refused(side, (10, 1000, 0), (10, 1000, -1), (10, 1000, 1))


@behaviour([[True] * 3, [True] * 3, [False] * 3, [False] * 3])
def sparsities_are_in_0_to_1(side):
    def refusals(value):
        yield side.refuses(side.sparsity.ConstantSparsity, value, 0)
        yield side.refuses(side.sparsity.PolynomialDecay, value, 0.8, 0, 10)
        yield side.refuses(side.sparsity.PolynomialDecay, 0.2, value, 0, 10)

    return [list(refusals(value)) for value in (-0.001, 1.0, 0.0, 0.99)]


@behaviour([[False, False, True, True, True, False, False]] * 2)
def schedules_prune_within_their_steps(side):
    steps = (90, 99, 100, 110, 200, 201, 210)
    return [[bool(make()(step)[0].numpy()) for step in steps] for make in schedules(side, 100, 200, 1)]


@behaviour([[True, False, True, False]] * 2)
def schedules_prune_every_so_many_steps(side):
    return [[bool(make()(step)[0].numpy()) for step in (100, 109, 110, 111)] for make in schedules(side, 100, 200, 10)]


@behaviour([True, True, 0.5, 0.5])
def a_constant_without_end_goes_on(side):
    schedule = side.sparsity.ConstantSparsity(0.5, 0, -1, 10)
    found = [schedule(step) for step in (10_000, 100_000_000)]
    return [bool(prunes.numpy()) for prunes, _ in found] + [float(value.numpy()) for _, value in found]


@behaviour([0.5, 0.5, 0.5])
def a_constant_is_constant(side):
    schedule = side.sparsity.ConstantSparsity(0.5, 100, 200, 10)
    return [float(schedule(step)[1].numpy()) for step in (100, 110, 200)]


@behaviour(True)
def a_decay_has_an_end(side):
    return side.refuses(side.sparsity.PolynomialDecay, 0.4, 0.8, 10, -1)


@behaviour([0.2, 0.4928, 0.725, 0.8])
def a_decay_follows_its_polynomial(side):
    schedule = side.sparsity.PolynomialDecay(0.2, 0.8, 100, 110, 3, 2)
    return [round(float(schedule(step)[1].numpy()), 5) for step in (100, 102, 105, 110)]


@behaviour([True, True])
def schedules_are_made_again_from_their_configuration(side):
    def again(schedule):
        made = type(schedule).from_config(schedule.get_config()["config"])
        return made.get_config() == schedule.get_config() and vars(made).keys() == vars(schedule).keys()

    sparsity = side.sparsity
    return [again(sparsity.ConstantSparsity(0.7, 10, 20, 10)), again(sparsity.PolynomialDecay(0.2, 0.6, 10, 20, 5, 10))]


# What is wrapped.


def named(side):
    class Named(side.layers.Dense, side.sparsity.PrunableLayer):
        def get_prunable_weights(self):
            return [self.kernel]

    return Named(10)


def unnamed(side):
    class Unnamed(side.layers.Dense):
        pass

    return Unnamed(10)


def wrapped_or_refused(side, thing):
    try:
        return side.is_wrapped(side.prune(thing))
    except ValueError:
        return "refused"


@behaviour([True, True, [1, 1], "AVG"])
def a_layer_is_wrapped_with_its_settings(side):
    wrapped = side.prune(side.layers.Dense(10))
    settings = [wrapped.pruning_schedule is side.every_step, list(wrapped.block_size), wrapped.block_pooling_type]
    return [side.is_wrapped(wrapped), *settings]


@behaviour([False, True], tfmot=[True, True], guide=UNWRAPPED)
def a_layer_without_weights_is_wrapped(side):
    return [wrapped_or_refused(side, side.layers.Dropout(0.4)), wrapped_or_refused(side, side.layers.Flatten())]


@behaviour([True, True], tfmot=["refused", "refused"], guide=MORE_KINDS)
def other_kinds_of_keras_are_wrapped(side):
    own = unnamed(side)
    return [wrapped_or_refused(side, side.layers.ConvLSTM2D(2, (5, 5))), wrapped_or_refused(side, own)]


@behaviour([True, True])
def a_custom_layer_names_its_weights(side):
    wrapped = side.prune(named(side))
    side.keras.Sequential([wrapped]).build((10, 1))
    (weight,) = wrapped.layer.get_prunable_weights()
    return [side.is_wrapped(wrapped), weight is wrapped.layer.kernel]


@behaviour([1, 0.5])
def a_custom_layer_needs_no_mixin(side):
    class Plain(side.layers.Layer):
        def build(self, shape):
            self.matrix = self.add_weight(name="matrix", shape=(shape[-1], 4), initializer="random_normal")

        def call(self, x):
            return side.keras.activations.linear(x @ self.matrix)

        def get_prunable_weights(self):
            return [self.matrix]

    found = side.trained(Plain(), (6,))
    return [len(found), *found]


@behaviour(False, tfmot="refused", guide=OF_ONES_OWN)
def a_custom_layer_that_names_none(side):
    class Plain(side.layers.Layer):
        def __init__(self):
            super().__init__()
            self.matrix = self.add_weight(name="matrix", shape=(3, 4), initializer="random_normal")

        def call(self, x):
            return x @ self.matrix

    layer = Plain()
    layer(np.ones((1, 3), "float32"))
    return wrapped_or_refused(side, layer)


@behaviour([True, False, True], tfmot=[True, True, True], guide=UNWRAPPED)
def each_layer_of_a_model_is_wrapped(side):
    layers = side.layers
    model = side.keras.Sequential([layers.Dense(10), layers.Dropout(0.4), named(side)])
    pruned = side.prune(model)
    pruned.build((1, 28, 28, 1))
    return [side.is_wrapped(layer) for layer in pruned.layers]


@behaviour([False, False], tfmot=[True, True], guide=MORE_KINDS)
def a_model_with_other_kinds_is_refused(side):
    def with_it(layer):
        return side.keras.Sequential([side.layers.Dense(10), layer])

    others = side.layers.ConvLSTM2D(2, (5, 5)), unnamed(side)
    return [side.refuses(side.prune, with_it(other)) for other in others]


@behaviour([2, [0.5, 0.25]])
def a_wrapped_layer_in_a_model_keeps_its_schedule(side):
    quarter = side.sparsity.ConstantSparsity(0.25, 0)
    model = side.keras.Sequential([side.layers.Dense(10), side.prune(side.layers.Dense(10), quarter)])
    pruned = side.prune(model)
    return [len(pruned.layers), [layer.pruning_schedule.target_sparsity for layer in pruned.layers]]


@behaviour([True, False, True], tfmot=[True, True, True], guide=UNWRAPPED)
def lists_of_layers_are_wrapped(side):
    return [
        side.is_wrapped(layer) for layer in side.prune([side.layers.Dense(10), side.layers.Dropout(0.4), named(side)])
    ]


@behaviour([2, 2])
def sequential_models_are_wrapped_before_and_after_they_are_built(side):
    layers = side.layers
    unbuilt = side.keras.Sequential([layers.Dense(10), layers.Dense(10)])
    return [side.count(side.prune(unbuilt)), side.count(side.prune(side.dense()))]


@behaviour([False, False, False, True, True, True])
def models_are_as_built_as_they_were(side):
    def built(model):
        pruned = side.prune(model)
        with side.sparsity.prune_scope():
            loaded = side.keras.models.model_from_json(pruned.to_json())
        return [bool(each.built) for each in (model, pruned, loaded)]

    return built(side.keras.Sequential([side.layers.Dense(10), side.layers.Dense(10)])) + built(side.dense())


def two_inputs(side):
    one, two = side.keras.Input((10,)), side.keras.Input((10,))
    return side.keras.Model([one, two], side.layers.Add()([side.layers.Dense(10)(one), side.layers.Dense(10)(two)]))


@behaviour([2, True], tfmot=[3, True], guide=UNWRAPPED)
def functional_models_are_wrapped(side):
    pruned = side.prune(two_inputs(side))
    return [side.count(pruned), bool(pruned.built)]


@behaviour(1)
def a_layer_used_twice_is_wrapped_once(side):
    inputs, layer = side.keras.Input((10,)), side.layers.Dense(10)
    return side.count(side.prune(side.keras.Model(inputs, layer(layer(inputs)))))


@behaviour(2)
def models_inside_are_wrapped(side):
    inner = side.keras.Sequential([side.keras.Input((10,)), side.layers.Dense(10)])
    return side.count(side.prune(side.keras.Sequential([inner, side.layers.Dense(10)])))


@behaviour([True, True])
def subclassed_models_and_other_objects_are_refused(side):
    class Own(side.keras.Model):
        pass

    return [side.refuses(side.prune, Own()), side.refuses(side.prune, object())]


@behaviour([[0, True], [0, True], [0, True]])
def stripped_models_are_as_they_were(side):
    def stripped(model):
        plain = side.sparsity.strip_pruning(side.prune(model))
        return [side.count(plain), plain.get_config() == model.get_config()]

    unbuilt = side.keras.Sequential([side.layers.Dense(10), side.layers.Dense(10)])
    return [stripped(unbuilt), stripped(side.dense()), stripped(two_inputs(side))]


@behaviour([True, False, False])
def pooling_is_average_or_largest(side):
    return [side.refuses(side.prune, side.layers.Dense(4), block_pooling_type=kind) for kind in ("MIN", "AVG", "MAX")]


# Files.


@behaviour([True, 2])
def h5_files_need_the_scope(side):
    file = f"{side.folder}/pruned.h5"
    side.prune(side.dense()).save(file)
    outside = side.refuses(side.keras.models.load_model, file)
    with side.sparsity.prune_scope():
        return [outside, side.count(side.keras.models.load_model(file))]


@behaviour(True)
def files_of_weights_need_no_scope(side):
    file = f"{side.folder}/pruned.weights.h5"
    one, other = side.prune(side.dense()), side.prune(side.dense())
    one.save_weights(file)
    other.load_weights(file)
    return all(map(np.array_equal, one.get_weights(), other.get_weights()))


@behaviour(True)
def weights_of_the_plain_model_do_not_fit_the_pruned_one(side):
    file = f"{side.folder}/plain.weights.h5"
    side.dense().save_weights(file)
    return side.refuses(side.prune(side.dense()).load_weights, file)


@behaviour(True)
def saved_models_of_tensorflow_need_no_scope(side):
    import tensorflow as tf

    pruned = side.prune(side.dense())
    tf.saved_model.save(pruned, f"{side.folder}/saved")
    loaded = tf.saved_model.load(f"{side.folder}/saved")
    x = np.ones((1, 10), "float32")
    found = next(iter(loaded.signatures["serving_default"](tf.constant(x)).values()))
    return bool(np.allclose(found, pruned.predict(x, verbose=0), atol=1e-6))
