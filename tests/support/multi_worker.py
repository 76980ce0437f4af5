"""A worker of a job of two, as users would write it: `python multi_worker.py FOLDER [INDEX ADDRESS]`.

It trains, saves what it holds in the end to FOLDER/<index>.npz and, as the chief, the model. A worker that is killed
makes the whole job fail; the same command, of all workers, resumes it.
"""

import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked

STEPS, BATCH = 8, 16  # in an epoch; samples of both workers together
EPOCHS = 4
KILLED_AT = int(os.environ.get("KILL_AT_STEP", -1))  # where the second worker dies


def data(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(STEPS * BATCH, 12)).astype("float32"), rng.normal(size=(STEPS * BATCH, 4)).astype("float32")


def make(norm=keras.layers.LayerNormalization):
    layers = keras.layers.Dense(32, activation="relu"), norm(), keras.layers.Dense(4)
    model = kp.wrap_pruning(keras.Sequential([keras.Input((12,)), *layers]))
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def pruning(**settings):
    return kp.PruningSchedule(kp.PolynomialDecay(final_sparsity=0.75, end_step=24), frequency=3, **settings)


def dies(index, step):
    if index == 1 and step == KILLED_AT:
        os.kill(os.getpid(), signal.SIGKILL)


def held(model, name):
    """The masks and weights of a model, by the names that they get in the file."""
    found = {}
    for number, weight in enumerate(find_masked(model)):
        found[f"{name}_mask{number}"] = weight.kept()
        found[f"{name}_weight{number}"] = keras.ops.convert_to_numpy(weight.weight)
    return found


def tensorflow_worker(folder):
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()  # before any other TensorFlow operation
    index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    keras.utils.set_random_seed(5 + index)  # all begin with the chief's weights, whatever their seeds

    def train(model, callback, batches, backup=None):
        @tf.function
        def step(batch):
            strategy.run(model.train_step, args=(batch,))

        if backup is not None and backup.exists():
            model.load_weights(backup)  # the masks and the optimizer with its step are in it
        callback.set_model(model)
        begin = int(model.optimizer.iterations.numpy()) // STEPS
        for _ in range(begin, EPOCHS):
            model.reset_metrics()
            for batch in batches:
                step(batch)
                callback.after_step()
                dies(index, int(model.optimizer.iterations.numpy()))
            if backup is not None and index == 0:  # the chief's, written beside and moved: it is whole or not there
                model.save_weights(folder / "part.weights.h5")
                os.replace(folder / "part.weights.h5", backup)
        return begin

    dataset = tf.data.Dataset.from_tensor_slices(data()).batch(BATCH)
    batches = strategy.experimental_distribute_dataset(dataset)
    with strategy.scope():
        model = make()
    begin = train(model, pruning(), batches, folder / "backup.weights.h5")
    np.savez(folder / f"{index}.npz", begin=begin, **held(model, "magnitude"))
    if index == 0:
        model.save(folder / "model.keras")
    if KILLED_AT != -1 or begin:
        return

    # What is measured differs from worker to worker: by the data of each, and by its moving statistics.
    with strategy.scope():
        model = make(keras.layers.BatchNormalization)
    train(model, pruning(importance="taylor", data=data(seed=index)), batches)
    refused = ""
    with strategy.scope():
        try:
            kp.prune_weights(model, 0.8, importance="taylor", data=data())
        except ValueError as error:
            refused = str(error)
    np.savez(folder / f"{index}_taylor.npz", refused=refused, **held(model, "taylor"))


def jax_worker(folder, index, address):
    index = int(index)
    keras.distribution.initialize(address, num_processes=2, process_id=index)
    keras.utils.set_random_seed(5)
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))

    # Each worker has a folder for its backups, and begins with what is in the chief's.
    backup = folder / "backup"
    if index != 0:
        backup = Path(tempfile.mkdtemp(dir=folder))
        if (folder / "backup").exists():
            shutil.copytree(folder / "backup", backup, dirs_exist_ok=True)

    begun = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: begun.append(epoch),
        on_train_batch_end=lambda batch, logs: dies(index, begun[-1] * STEPS + batch + 1),
    )
    mine = [array.reshape(STEPS, 2, BATCH // 2, -1)[:, index].reshape(STEPS * BATCH // 2, -1) for array in data()]
    model = make()
    callbacks = [pruning(), keras.callbacks.BackupAndRestore(backup), watch]
    model.fit(*mine, batch_size=BATCH // 2, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=callbacks)
    np.savez(folder / f"{index}.npz", begin=begun[0], **held(model, "magnitude"))
    where = folder if index == 0 else Path(tempfile.mkdtemp(dir=folder))  # all must save, the chief's counts
    model.save(where / "model.keras")
    if KILLED_AT != -1 or begun[0]:
        return

    model = make(keras.layers.BatchNormalization)
    callbacks = [pruning(importance="taylor")]
    model.fit(*mine, batch_size=BATCH // 2, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=callbacks)
    np.savez(folder / f"{index}_taylor.npz", **held(model, "taylor"))


if __name__ == "__main__":
    worker = tensorflow_worker if keras.backend.backend() == "tensorflow" else jax_worker
    worker(Path(sys.argv[1]), *sys.argv[2:])
