"""prune_channels(keep_classes=True) on models of keras_hub: they stay what they are, with `generate` and presets."""

import keras
import numpy as np
import pytest
from support.channel_zoo import difference, outputs, randomise

import keras_prune as kp

hub = pytest.importorskip("keras_hub", reason="keras_hub is not installed")

BACKBONES = {
    "BertBackbone": {"num_heads": 2, "hidden_dim": 4, "max_sequence_length": 8},
    "GPT2Backbone": {"num_heads": 2, "hidden_dim": 4, "max_sequence_length": 8},
    "LlamaBackbone": {"num_query_heads": 2, "num_key_value_heads": 1, "hidden_dim": 4},
    "GemmaBackbone": {"num_query_heads": 2, "num_key_value_heads": 1, "hidden_dim": 4, "head_dim": 4},
}
WIDTH = 8
HEADS = {"GemmaBackbone": {"num_query_heads": 1}}  # of those whose heads have a size of their own


def backbone(name, vocabulary=12, blocks=2):
    made = getattr(hub.models, name)
    settings = BACKBONES[name]
    return made(vocabulary_size=vocabulary, num_layers=blocks, intermediate_dim=WIDTH, **settings)


def tokens(model, length=6):
    rng = np.random.default_rng(1)
    found = {name: rng.integers(0, 2, (3, length)) for name in model.input}
    return found | {"token_ids": rng.integers(0, 7, (3, length)), "padding_mask": np.ones((3, length), int)}


def zeroed(model, plan, graph):
    """The model with zeros where the removed units and heads are read."""
    for group in kp.analyze_channels(graph).groups:
        for member in group.members:
            if group.name in plan.removed and member.role == "in":
                values = keras.ops.convert_to_numpy(member.weight).copy()
                gone = np.isin(member.labels, group.channels[list(plan.removed[group.name])])
                values[(slice(None),) * member.axis + (gone,)] = 0
                member.weight.assign(values)
    return graph


def two_merges():
    """A vocabulary for byte pairs, and the merges."""
    merges = ["a i", "ai r", "p o", "r t", "po rt", "Ġ a", "Ġa t"]
    parts = {part for merge in merges for part in (*merge.split(), merge.replace(" ", ""))}
    return {token: index for index, token in enumerate([*sorted(parts), "<|endoftext|>"])}, merges


@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_keeps_its_class_and_computes_what_the_graph_does(name, tmp_path):
    model = randomise(backbone(name))
    result = kp.prune_channels(model, 0.5, keep_classes=True)
    small = result.model
    assert type(small) is type(model)
    heads = HEADS.get(name, {})
    assert small.get_config() == {**model.get_config(), "intermediate_dim": WIDTH // 2, **heads}
    assert len(result.plan.removed) == (4 if heads else 2)
    x = tokens(model)
    graph = zeroed(model, result.plan, kp.expand(model, sizes=dict.fromkeys(model.input, 8)))
    long = {key: np.pad(value, ((0, 0), (0, 2))) for key, value in x.items()}
    padded = [each[:, :6] if each.ndim == 3 else each for each in outputs(graph, long)]
    assert difference(outputs(small, x), padded) <= 1e-5
    small.save_to_preset(tmp_path / "preset")
    again = type(model).from_preset(str(tmp_path / "preset"))
    assert difference(outputs(again, x), outputs(small, x)) <= 1e-6


def test_a_task_generates_and_is_saved_as_a_preset(tmp_path):
    vocabulary, merges = two_merges()
    tokenizer = hub.models.GPT2Tokenizer(vocabulary=vocabulary, merges=merges)
    preprocessor = hub.models.GPT2CausalLMPreprocessor(tokenizer, sequence_length=8)
    task = hub.models.GPT2CausalLM(backbone("GPT2Backbone", len(vocabulary), blocks=1), preprocessor=preprocessor)
    small = kp.prune_channels(task, 0.5, keep_classes=True).model
    assert type(small) is type(task)
    assert small.backbone.intermediate_dim == WIDTH // 2
    small.compile(sampler="greedy")
    text = small.generate("airport at", max_length=8)
    assert text.startswith("airport at")
    small.save_to_preset(tmp_path / "preset")
    again = hub.models.GPT2CausalLM.from_preset(str(tmp_path / "preset"))
    again.compile(sampler="greedy")
    assert again.generate("airport at", max_length=8) == text


def test_a_classifier_has_the_head_of_the_original():
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "fox"]
    preprocessor = hub.models.BertTextClassifierPreprocessor(
        hub.models.BertTokenizer(vocabulary=words), sequence_length=6
    )
    task = hub.models.BertTextClassifier(
        backbone("BertBackbone", len(words), blocks=1), num_classes=3, preprocessor=preprocessor
    )
    small = kp.prune_channels(task, 0.5, keep_classes=True).model
    assert type(small) is type(task)
    for ours, theirs in zip(
        small.get_layer("logits").get_weights(), task.get_layer("logits").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert small.preprocessor is task.preprocessor
    assert tuple(small(tokens(small)).shape) == (3, 3)


def test_a_family_without_a_rule():
    model = hub.models.XLNetBackbone(vocabulary_size=8, num_layers=1, num_heads=2, hidden_dim=4, intermediate_dim=8)
    with pytest.raises(ValueError, match=r"XLNetBackbone, .* has no rule"):
        kp.prune_channels(model, 0.5, keep_classes=True)
