"""Tasks of keras_hub as people use them: pruned with their classes, they train, generate, and are saved as presets."""

import numpy as np
import pytest
from support.channel_zoo import difference, randomise
from support.hub_tasks import (
    LANGUAGE_MODELS,
    bert_preprocessor,
    example,
    language_model,
    subwords,
    train,
    values,
    zeroed_task,
)

import keras_prune as kp

hub = pytest.importorskip("keras_hub", reason="keras_hub is not installed")

HEADS = {
    "GPT2CausalLM": {},
    "LlamaCausalLM": {},
    "GemmaCausalLM": {"num_query_heads": 2, "num_key_value_heads": 1},
    "Qwen3CausalLM": {"num_query_heads": 2, "num_key_value_heads": 1},
    "MistralCausalLM": {"num_query_heads": 2, "num_key_value_heads": 1, "head_dim": 2},
}


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_a_language_model_generates_what_the_original_does_without_the_removed_channels(name):
    task = randomise(language_model(name, blocks=2 if name == "GemmaCausalLM" else 1))
    result = kp.prune_channels(task, 0.5, keep_classes=True)
    small = result.model
    assert type(small) is type(task)
    before = task.backbone.get_config()
    assert small.backbone.get_config() == before | {"intermediate_dim": 4} | HEADS[name]
    x = example(task)
    dense = values(task, x)
    zeroed_task(task, result.plan)
    assert difference(values(small, x), values(task, x)) <= 1e-5
    assert difference(dense, values(task, x)) > 1e-3  # else the test is empty
    prompt = {key: value.copy() for key, value in x.items()}
    prompt["padding_mask"][:, 3:] = 0
    generated = []
    for model in (task, small):
        model.compile(sampler="greedy")
        generated.append(model.generate(prompt, stop_token_ids=None)["token_ids"])
    np.testing.assert_array_equal(*map(np.asarray, generated))
    assert np.asarray(generated[0]).shape == (2, 6)


def test_inputs_of_open_sizes():
    """What needs one graph says how to get it; a result that keeps the class knows for which sizes it was followed."""
    task = randomise(language_model("GPT2CausalLM", blocks=1))
    for call in (kp.analyze_channels, lambda task: kp.prune_channels(task, 0.5)):
        with pytest.raises(
            ValueError, match=r'`keras_prune.expand\(model, sizes=\{"padding_mask": 128, "token_ids": 128\}'
        ):
            call(task)
    assert "keras_prune.expand(model, sizes=" in str(kp.cost(task))
    result = kp.prune_channels(task, 0.5, keep_classes=True)
    assert result.report.parameters_before == task.count_params()
    assert result.report.parameters_after == result.model.count_params()
    explained = [part.cut.removed for part in kp.explain(task, result).parts if part.cut.removed]
    assert explained == [4]


@pytest.mark.parametrize(("name", "marks"), [("LlamaCausalLM", ("<s>", "</s>")), ("GemmaCausalLM", ("<bos>", "<eos>"))])
def test_a_language_model_with_its_tokenizer_is_saved_as_a_preset(name, marks, tmp_path):
    family = name.removesuffix("CausalLM")
    tokenizer = getattr(hub.models, f"{family}Tokenizer")(proto=subwords(*marks))
    preprocessor = getattr(hub.models, f"{name}Preprocessor")(tokenizer, sequence_length=6)
    task = randomise(language_model(name, tokenizer.vocabulary_size(), blocks=1, preprocessor=preprocessor))
    small = kp.prune_channels(task, 0.5, keep_classes=True).model
    train(small, ["the fox", "the quick fox"])
    small.compile(sampler="greedy")
    text = small.generate("the quick", max_length=6)
    small.save_to_preset(tmp_path / "preset")
    again = type(task).from_preset(str(tmp_path / "preset"))
    assert again.backbone.get_config() == small.backbone.get_config()
    again.compile(sampler="greedy")
    assert again.generate("the quick", max_length=6) == text
    x = example(task)
    assert difference(values(again, x), values(small, x)) <= 1e-6


@pytest.mark.parametrize("name", ["BertTextClassifier", "BertMaskedLM"])
def test_a_task_on_bert(name, tmp_path):
    preprocessor = bert_preprocessor(name)
    task = getattr(hub.models, name)(
        hub.models.BertBackbone(
            vocabulary_size=preprocessor.tokenizer.vocabulary_size(),
            num_layers=1,
            num_heads=2,
            hidden_dim=4,
            intermediate_dim=8,
            max_sequence_length=8,
        ),
        preprocessor=preprocessor,
        **({"num_classes": 3} if name == "BertTextClassifier" else {}),
    )
    randomise(task)
    result = kp.prune_channels(task, 0.5, keep_classes=True)
    small = result.model
    assert type(small) is type(task)
    assert small.backbone.intermediate_dim == 4
    x = example(task)
    zeroed_task(task, result.plan)
    assert difference(values(small, x), values(task, x)) <= 1e-5
    sentences = ["the quick fox", "the fox the fox"]
    train(small, *((sentences, [0, 2]) if name == "BertTextClassifier" else (sentences,)))
    small.save_to_preset(tmp_path / "preset")
    again = type(task).from_preset(str(tmp_path / "preset"))
    assert again.backbone.intermediate_dim == 4
    assert difference(values(again, x), values(small, x)) <= 1e-6
