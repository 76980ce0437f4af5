"""What users of tfmot rely on while they train: sparsity that is reached, callbacks, masks. See tfmot_sides.py."""

import os

import numpy as np
from support.tfmot_sides import behaviour

COPIED = "The model that is passed is copied"
EVERY_STEP = "Weights are zero after every step"
TOO_FEW = "A weight with fewer inputs than n"
ANY_RANK = "`block_size` works for convolutions too"
M_BY_N = "`sparsity_m_by_n` follows the schedule up to its pattern, works for every kind of layer"
OF_ONES_OWN = "A custom layer that names no weights is left as it is"
WITHOUT_CALLBACK = "Without `UpdatePruningStep`"


@behaviour(True)
def sparsity_0_changes_nothing(side):
    model, other = side.dense(), side.dense()
    other.set_weights(model.get_weights())
    pruned = side.prune(other, side.sparsity.ConstantSparsity(0, 0, frequency=1))
    data = side.data(model)
    side.fit(model, callbacks=[], data=data)
    side.fit(pruned, data=data)
    plain = side.sparsity.strip_pruning(pruned)
    return all(np.allclose(*pair, atol=1e-6) for pair in zip(model.get_weights(), plain.get_weights(), strict=True))


@behaviour([1, 1])
def one_weight_of_each_array_remains(side):
    pruned = side.prune(side.dense(), side.sparsity.ConstantSparsity(0.99, 0, frequency=1))
    side.fit(pruned)
    return [int(np.count_nonzero(layer.layer.get_weights()[0])) for layer in pruned.layers]


@behaviour([True, True])
def a_pruned_model_is_not_compiled_and_computes_the_same(side):
    model = side.dense()
    side.fit(model, callbacks=[])
    pruned = side.prune(model)
    x = side.data(model)[0]
    same = np.array_equal(model.predict(x, verbose=0), pruned.predict(x, verbose=0))
    return [getattr(pruned, "optimizer", None) is None, same]


@behaviour(False, tfmot=True, guide=COPIED)
def a_pruned_model_shares_its_weights_with_the_original(side):
    model = side.dense()
    side.fit(side.prune(model))
    return bool(np.mean(model.get_weights()[0] == 0) == 0.5)


@behaviour([0.0, True])
def inference_needs_no_callback_and_prunes_nothing(side):
    pruned = side.prune(side.dense())
    pruned.compile("sgd", "mse")
    x, y = side.data(pruned)
    pruned.predict(x, verbose=0)
    return [max(side.sparse(pruned)), bool(np.isfinite(pruned.evaluate(x, y, verbose=0)))]


@behaviour([[0.5]] * 4 + [[0.5, 0.5]] * 3)
def each_kind_of_layer_reaches_its_sparsity(side):
    layers = side.layers
    return [
        side.trained(layers.Conv1D(4, 2), (3, 6)),
        side.trained(layers.Conv2D(4, (2, 2)), (4, 6, 1)),
        side.trained(layers.Conv3D(2, (2, 2, 2)), (3, 3, 3, 3)),
        side.trained(layers.Dense(4), (6,)),
        side.trained(layers.SimpleRNN(10), (3, 4)),
        side.trained(layers.LSTM(10), (3, 4)),
        side.trained(layers.GRU(10), (3, 4)),
    ]


@behaviour([[0.5, 0.5]] * 2, tfmot=[[0.0, 0.5]] * 2, guide="depthwise and transposed convolutions")
def depthwise_kernels_of_separable_convolutions(side):
    layers = side.layers
    return [
        side.trained(layers.SeparableConv1D(4, 3), (3, 6)),
        side.trained(layers.SeparableConv2D(4, (2, 2)), (4, 6, 1)),
    ]


@behaviour([0.5] * 6)
def stacked_cells_reach_their_sparsity(side):
    layers = side.layers
    cells = [layers.LSTMCell(10), layers.GRUCell(10), layers.SimpleRNNCell(10)]
    return side.trained(layers.RNN(cells), (3, 4))


@behaviour([0.5])
def an_embedding_reaches_its_sparsity(side):
    layers = side.layers
    wrapped = side.prune(layers.Embedding(10, 3))
    model = side.keras.Sequential([side.keras.Input((5,)), wrapped, layers.Flatten(), layers.Dense(1)])
    side.fit(model, data=[np.arange(20).reshape(4, 5) % 10, np.ones((4, 1), "float32")])
    return side.sparse(model)


@behaviour([0.5] * 4)
def attention_reaches_its_sparsity(side):
    inputs = side.keras.Input((4, 8))
    outputs = side.layers.MultiHeadAttention(2, 4)(inputs, inputs)
    pruned = side.prune(side.keras.Model(inputs, outputs))
    side.fit(pruned)
    layer = next(layer for layer in pruned.layers if side.is_wrapped(layer))
    kernels = [weight for weight in layer.layer.get_weights() if weight.ndim == 3]
    return [float(np.mean(kernel == 0)) for kernel in kernels]


@behaviour([0.5] * 4)
def models_inside_reach_their_sparsity(side):
    inner = side.keras.Sequential([side.keras.Input((8,)), side.layers.Dense(8), side.layers.Dense(8)])
    inputs = side.keras.Input((8,))
    whole = side.keras.Model(inputs, side.layers.Dense(2)(side.layers.Dense(8)(inner(inputs))))
    pruned = side.prune(whole)
    side.fit(pruned)
    return side.sparse(pruned)


def images(side):
    layers = side.layers
    return [
        layers.Conv2D(4, 3, padding="same", activation="relu"),
        layers.MaxPooling2D((2, 2), (2, 2), padding="same"),
        layers.BatchNormalization(),
        layers.Flatten(),
        layers.Dense(8, activation="relu"),
        layers.Dropout(0.4),
        layers.Dense(2, activation="softmax"),
    ]


@behaviour([[0.5] * 3] * 4)
def a_model_of_images_made_in_four_ways_reaches_its_sparsity(side):
    start = side.keras.Input((8, 8, 1))
    functional = start
    for layer in images(side):
        functional = layer(functional)
    sequential = side.keras.Sequential([side.keras.Input((8, 8, 1)), *images(side)])
    has_kernel = side.layers.Conv2D, side.layers.Dense
    some = [side.prune(layer) if isinstance(layer, has_kernel) else layer for layer in images(side)]
    ways = [
        side.prune(sequential),
        side.prune(side.keras.Model(start, functional)),
        side.keras.Sequential([side.keras.Input((8, 8, 1)), *side.prune(images(side))]),
        side.keras.Sequential([side.keras.Input((8, 8, 1)), *some]),
    ]
    found = []
    for model in ways:
        side.fit(model)
        found.append(side.sparse(model))
    return found


@behaviour([0.5, 0.5])
def a_model_that_was_wrapped_before_it_was_built_reaches_its_sparsity(side):
    pruned = side.prune(side.keras.Sequential([side.layers.Dense(8), side.layers.Dense(4)]))
    pruned.build((None, 6))
    side.fit(pruned, 3)
    return side.sparse(pruned)


@behaviour([5, [0.5, 0.5, 0.5]])
def layers_wrapped_one_by_one(side):
    layers = side.layers
    cell = layers.LSTMCell(4, dropout=0.5, recurrent_dropout=0.5)
    rest = [layers.BatchNormalization(), layers.Flatten(), layers.Dense(10), layers.Dropout(0.5)]
    wrapped = [side.prune(layer) for layer in [layers.RNN(cell), *rest]]
    model = side.keras.Sequential([side.keras.Input((3, 4)), *wrapped])
    side.fit(model, 2)
    return [len(model.layers), side.sparse(model)]


# m by n, blocks, masks.


@behaviour([[0.5], [0.5], [0.4286]])
def m_by_n_prunes_m_of_n(side):
    layers = side.layers
    return [
        side.trained(layers.Conv2D(16, (5, 7)), (10, 10, 8), sparsity_m_by_n=(2, 4)),
        side.trained(layers.Dense(16), (8,), sparsity_m_by_n=(1, 2)),
        side.trained(layers.Conv2D(16, (5, 7)), (10, 10, 7), sparsity_m_by_n=(2, 4)),
    ]


@behaviour(False, tfmot=True, guide=M_BY_N)
def m_by_n_of_rank_5_is_refused(side):
    return side.refuses(side.trained, side.layers.Conv3D(2, 2), (3, 3, 3, 4), sparsity_m_by_n=(2, 4))


TWO = [[0.74, 0.68], [-0.89, -0.45], [-1.68, 1.24], [0.31, -0.6]]
FOUR = [[[[-0.36, -0.77], [-0.43, -0.18], [0.12, 1.36], [0.77, 0.96]]]]


@behaviour(
    [
        [[0, 1], [1, 0], [1, 1], [0, 0]],
        [[[[0, 0], [1, 0], [0, 1], [1, 1]]]],
        [[[[0, 1], [1, 0], [0, 1], [1, 0]]]],
    ]
)
def m_by_n_keeps_the_largest(side):
    return [
        side.mask(TWO, sparsity_m_by_n=(2, 4)),
        side.mask(FOUR, sparsity_m_by_n=(2, 4)),
        side.mask(FOUR, sparsity_m_by_n=(1, 2)),
    ]


@behaviour(["refused"] * 2, tfmot=[[[1, 0], [0, 1], [1, 1]], [[[[0, 1], [1, 0], [1, 1]]]]], guide=TOO_FEW)
def m_by_n_of_fewer_than_n_inputs(side):
    def mask(kernel):
        try:
            return side.mask(kernel, sparsity_m_by_n=(2, 4))
        except ValueError:
            return "refused"

    return [mask([[1.92, -0.21], [-0.19, 0.57], [1.1, -0.42]]), mask([[[[-0.37, 1.85], [0.82, 0.07], [1.17, 0.5]]]])]


HALF = [[0] * 4, [0] * 4, [1] * 4, [1] * 4]


@behaviour([HALF, HALF])
def blocks_are_pooled_by_their_average_or_largest(side):
    average = np.kron([[0.1, 0.2], [0.3, 0.4]], np.ones((2, 2)))
    largest = np.kron([[0.1, 0.2], [0.3, 0.4]], np.diag([1.0, -1.0]))
    pools = [(average, "AVG"), (largest, "MAX")]
    found = [side.mask(kernel, block_size=(2, 2), block_pooling_type=pool) for kernel, pool in pools]
    # tfmot keeps whole blocks, also the zeros in them, which are no zeros of the mask.
    return [found[0], (np.kron(np.array(found[1])[::2, ::2], np.ones((2, 2)))).astype(int).tolist()]


@behaviour(False, tfmot=True, guide=ANY_RANK)
def blocks_of_a_convolution_are_refused(side):
    return side.refuses(side.trained, side.layers.Conv2D(4, (2, 2)), (4, 4, 4), block_size=(2, 2))


@behaviour([1, 50, [0, 0] + [1] * 8])
def masks_keep_as_many_as_asked(side):
    line = np.linspace(1, 100, 100)[:, None]
    constant = side.sparsity.ConstantSparsity
    one = side.mask(line, constant(0.9999, 0, -1, 1))
    half = side.mask(line, constant(0.5, 0, -1, 1))
    fifth = side.mask(np.arange(1, 11)[:, None], constant(0.2, 0, -1, 1))
    return [int(np.sum(one)), int(np.sum(half)), [row[0] for row in fifth]]


@behaviour([90, 70, 50])
def a_custom_schedule_is_followed_step_by_step(side):
    by_step = [0.0, 0.1, 0.1, 0.3, 0.3, 0.5, 0.5]

    class Steps(side.sparsity.PruningSchedule):
        def __call__(self, step):
            # In tfmot the step is a tensor of a graph, and what is read with it must be one too.
            return step > 0, by_step[step] if side.here else side.keras.backend.gather(by_step, step)

        def get_config(self):
            return {}

    line = np.linspace(1, 100, 100)[:, None]
    return [int(np.sum(side.mask(line, Steps(), epochs))) for epochs in (1, 3, 5)]


# Callbacks.


def written(side, name):
    return [f"{side.folder}/{name}", lambda: len(os.listdir(f"{side.folder}/{name}")) > 0]


@behaviour([[0.5, 0.5], True])
def fit_prunes_and_writes_summaries(side):
    folder, is_written = written(side, "logs")
    pruned = side.prune(side.dense())
    callbacks = [side.sparsity.UpdatePruningStep(), side.sparsity.PruningSummaries(log_dir=folder)]
    side.fit(pruned, 3, callbacks)
    return [side.sparse(pruned), is_written()]


@behaviour([[0.5, 0.5], True])
def a_custom_loop_prunes_and_writes_summaries(side):
    import tensorflow as tf

    folder, is_written = written(side, "loop")
    pruned, optimizer = side.prune(side.dense()), side.keras.optimizers.SGD()
    x, y = side.data(pruned)
    step, summaries = side.sparsity.UpdatePruningStep(), side.sparsity.PruningSummaries(log_dir=folder)
    step.set_model(pruned)
    summaries.set_model(pruned)
    pruned.optimizer = optimizer
    step.on_train_begin()
    for _ in range(3):
        summaries.on_epoch_begin(epoch=-1)
        step.on_train_batch_begin(batch=-1)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((pruned(x, training=True) - y) ** 2)
        gradients = tape.gradient(loss, pruned.trainable_variables)
        optimizer.apply_gradients(zip(gradients, pruned.trainable_variables, strict=True))
        step.on_epoch_end(batch=-1)
    return [side.sparse(pruned), is_written()]


@behaviour(False, tfmot=True, guide=WITHOUT_CALLBACK)
def a_call_for_training_needs_the_callback(side):
    pruned = side.prune(side.dense())
    try:
        pruned(np.ones((2, 10), "float32"), training=True)
    except Exception:
        return True
    return False


@behaviour([True, True, True])
def summaries_need_a_folder(side):
    return [side.refuses(side.sparsity.PruningSummaries, log_dir=wrong) for wrong in ("", None, object())]


# Stopping and going on.


def saved_and_loaded(side, model):
    # tfmot keeps the step in its layers and `.h5` files; here it is the optimizer's, which `.keras` files have.
    file = f"{side.folder}/stopped.{'keras' if side.here else 'h5'}"
    model.save(file)
    with side.sparsity.prune_scope():
        return side.keras.models.load_model(file)


def in_two_parts(side, begin, end, first, second):
    pruned = side.prune(side.dense(), side.sparsity.PolynomialDecay(0.2, 0.6, begin, end, 3, 1))
    found = [side.sparse(pruned)]
    for epochs in (first, second):
        side.fit(pruned, epochs)
        found.append(side.sparse(pruned))
        pruned = saved_and_loaded(side, pruned)
    return [*found, side.sparse(pruned)]


@behaviour([[0.0, 0.0], [0.2, 0.2], [0.6, 0.6], [0.6, 0.6]])
def training_goes_on_where_it_stopped(side):
    return in_two_parts(side, 1, 4, 1, 3)


@behaviour([[0.0, 0.0], [0.6, 0.6], [0.6, 0.6], [0.6, 0.6]])
def training_past_the_end_keeps_the_sparsity(side):
    return in_two_parts(side, 0, 2, 3, 1)


@behaviour([0.5, 0.5], tfmot=[0.0, 0.0], guide=EVERY_STEP)
def checkpoints_of_a_step_are_sparse(side):
    file = f"{side.folder}/step.weights.h5"
    pruned, other = side.prune(side.dense()), side.prune(side.dense())
    saves = side.keras.callbacks.ModelCheckpoint(file, save_weights_only=True, save_freq=1)
    side.fit(pruned, callbacks=[side.sparsity.UpdatePruningStep(), saves])
    other.load_weights(file)
    return side.sparse(other)


@behaviour([0.5, 0.5])
def models_under_a_strategy_reach_their_sparsity(side):
    import tensorflow as tf

    with tf.distribute.OneDeviceStrategy("/cpu:0").scope():
        pruned = side.prune(side.dense())
        pruned.compile("sgd", "mse")
    side.fit(pruned, 2)
    return side.sparse(saved_and_loaded(side, pruned))


@behaviour([0.5] * 4)
def custom_cells_name_their_weights(side):
    keras, layers = side.keras, side.layers

    class Cell(layers.Layer, side.sparsity.PrunableLayer):
        def __init__(self, units):
            super().__init__()
            self.units = self.state_size = units

        def build(self, shape):
            self.kernel = self.add_weight(name="kernel", shape=(shape[-1], self.units))
            self.recurrent = self.add_weight(name="recurrent", shape=(self.units, self.units))

        def call(self, inputs, states):
            made = inputs @ self.kernel + states[0] @ self.recurrent
            return made, [made]

        def get_prunable_weights(self):
            return [self.kernel, self.recurrent]

    pruned = side.prune(layers.RNN([layers.LSTMCell(4), Cell(4)]))
    model = keras.Sequential([keras.Input((3, 4)), pruned])
    side.fit(model)
    return side.sparse(model)
