"""Prunes a small Transformer that classifies sentences: 90% of the weights, or half the heads and widths.

    pip install ".[demo,tflite]"   # in a clone of the repository
    python examples/transformer_sst2.py --data=sst2.npz                     # minutes without a GPU
    python examples/transformer_sst2.py --data=sst2.npz --sparsity=0.8
    python examples/transformer_sst2.py --data=sst2.npz --prune=channels    # heads and widths: a smaller network
    python examples/transformer_sst2.py --smoke                             # with synthetic sentences, in seconds
    python examples/transformer_sst2.py --helpshort

The file holds ids of words, (samples, steps), 0 for none, such as the sentences of SST-2, which are at
nlp.stanford.edu/sentiment, with labels 1 for positive and 0 for negative ones. The network has a custom layer: its
weights are not pruned, unless `register_prunable` names them, and the rule `positions` in `sentence_data.py` is all
that `prune_channels` needs to know. The example prints the pruned weights or channels and a table that compares the
models, and writes the dense and the pruned model as .keras and .tflite to the folder `--output`.
"""

import comparison
import helpers
import sentence_data

import keras_prune as kp

FLAGS = helpers.define_flags(
    data="ids of words, (samples, steps), 0 for none. Without it, synthetic ones.",
    output="out/transformer_sst2",
    epochs=4,
    finetune_epochs=2,
    learning_rate=1e-3,
    finetune_learning_rate=1e-3,
    batch_size=64,
    seeds=3,
)
comparison.define_flags(sparsity=0.9, ratio=0.5)


def main() -> None:
    data = sentence_data.load()
    table = comparison.Comparison(data)
    for _ in helpers.seeds():
        # 1. An ordinary model, trained as usual.
        dense = sentence_data.model_for(data)
        helpers.train(dense, FLAGS.epochs, FLAGS.learning_rate, data.x_train, data.y_train)

        # 2. A copy whose weights are pruned during fine-tuning, or a new model with half the heads and widths,
        # fine-tuned. The dense one is fine-tuned too: a fair comparison.
        if FLAGS.prune == "weights":
            table.add_weights(dense, data.x_train, data.y_train)
        else:
            table.add_channels(dense, kp.prune_channels(dense, FLAGS.ratio), data.x_train, data.y_train)
    table.finish()


if __name__ == "__main__":
    helpers.run(main)
