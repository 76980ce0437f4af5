"""Tiny tasks of keras_hub, with vocabularies made by hand, and what the original computes without removed channels."""

import io

import keras
import numpy as np

import keras_prune as kp
from keras_prune.expansion.report import weights_of

WIDTH = 8
_GROUPED = {"num_query_heads": 4, "num_key_value_heads": 2, "hidden_dim": 8}
# By class of the task: the settings of its backbone, other than the vocabulary, the blocks and the feedforward layers.
LANGUAGE_MODELS = {
    "GPT2CausalLM": {"num_heads": 2, "hidden_dim": 4, "max_sequence_length": 8},
    "LlamaCausalLM": _GROUPED,
    "GemmaCausalLM": _GROUPED | {"head_dim": 4},
    "Qwen3CausalLM": _GROUPED | {"head_dim": 4},
    "MistralCausalLM": _GROUPED,
}


def language_model(name, vocabulary=12, blocks=2, preprocessor=None, **settings):
    """A task that generates, without a preprocessor unless one is given."""
    from keras_hub import models

    backbone = getattr(models, name.replace("CausalLM", "Backbone"))
    settings = {**LANGUAGE_MODELS[name], **settings}
    body = backbone(vocabulary_size=vocabulary, num_layers=blocks, intermediate_dim=WIDTH, **settings)
    return getattr(models, name)(body, preprocessor=preprocessor)


def subwords(begin, end):
    """A model of SentencePiece, trained on a few words, with these marks of the begin and the end."""
    import sentencepiece

    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the quick brown fox", "the earth is round", "an eagle at the airport"]),
        model_writer=file,
        vocab_size=20,
        model_type="word",
        hard_vocab_limit=False,
        pad_id=0,
        bos_id=2,
        eos_id=1,
        unk_id=3,
        pad_piece="<pad>",
        bos_piece=begin,
        eos_piece=end,
        unk_piece="<unk>",
        minloglevel=2,
    )
    return file.getvalue()


def bert_preprocessor(name):
    """That of a task on BERT."""
    from keras_hub import models

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "quick", "fox"]
    masked = {"mask_selection_length": 2, "mask_selection_rate": 1.0} if "Masked" in name else {}
    tokenizer = models.BertTokenizer(vocabulary=words)
    return getattr(models, f"{name}Preprocessor")(tokenizer, sequence_length=6, **masked)


def example(task, length=6, count=2):
    """Inputs of a task of tokens: none of them is padding."""
    rng = np.random.default_rng(1)
    found = {}
    for name in task.input:
        high = 2 if "segment" in name else 5 if "positions" in name else 7
        size = 2 if "mask_positions" in name else length
        ones = name == "padding_mask"
        found[name] = np.ones((count, size), "int32") if ones else rng.integers(0, high, (count, size)).astype("int32")
    return found


def values(task, x):
    """What a task computes of numbers, without its preprocessor."""
    found = keras.tree.flatten(task(x, training=False))
    return [keras.ops.convert_to_numpy(each).astype("float64") for each in found]


def train(task, *data):
    """A step of training on texts, preprocessed before: inside of `fit` that takes TensorFlow Text."""
    preprocessor = task.preprocessor
    prepared = preprocessor(*data)
    task.preprocessor = None
    task.compile("sgd", "auto")
    before = [keras.ops.convert_to_numpy(weight.value) for weight in task.trainable_weights]
    task.fit(**dict(zip(("x", "y", "sample_weight"), prepared, strict=False)), batch_size=2, verbose=0)
    task.preprocessor = preprocessor
    after = [keras.ops.convert_to_numpy(weight.value) for weight in task.trainable_weights]
    assert any((old != new).any() for old, new in zip(before, after, strict=True))


def zeroed_task(task, plan):
    """Zeros in the weights of a task that read the channels that a plan with `keep_classes` removes."""
    graph = kp.expand(task, sizes={name: 8 for name, tensor in task.input.items() if None in tensor.shape[1:]})
    place = {id(weight): index for index, weight in enumerate(weights_of(graph))}
    for group in kp.analyze_channels(graph).groups:
        for member in group.members:
            if group.name in plan.removed and member.role == "in":
                weight = task.weights[place[id(member.weight)]]
                values = np.array(keras.ops.convert_to_numpy(weight.value))
                gone = np.isin(member.labels, group.channels[list(plan.removed[group.name])])
                values[(slice(None),) * member.axis + (gone,)] = 0
                weight.assign(values)
    return task
