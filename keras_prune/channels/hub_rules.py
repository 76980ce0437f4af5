"""The sizes of keras_hub's classes that can be smaller, by the names under which it registers them with Keras."""

from collections.abc import Mapping
from typing import Any

from keras_prune.channels.composite_rule import CompositeRule, Rule, Size

_WIDTH = "intermediate_dim"
_OF_EXPERTS = "moe_intermediate_dim"
_GROUPED = "num_query_heads", "num_key_value_heads"
_OF_POSITIONS = "the rotation of positions and the scale of the scores depend on it"


def _derived(key: str) -> str:
    return f"a head has `hidden_dim // {key}` entries, so that those of fewer heads would be larger"


def _of_hub(names: str, *sizes: Size, **kept: str) -> dict[str, Rule]:
    """The same rule for several classes."""
    return {f"keras_hub>{name}": CompositeRule(sizes, kept) for name in names.split()}


def _gemma(config: Mapping[str, Any]) -> CompositeRule:
    """Its scores may be scaled by a number that follows from that of the heads, instead of their size."""
    if config.get("query_head_dim_normalize", True):
        return CompositeRule((_WIDTH, _GROUPED), {"head_dim": _OF_POSITIONS})
    why = "with `query_head_dim_normalize=False` the scale of the scores depends on it"
    return CompositeRule((_WIDTH,), {"num_query_heads": why, "head_dim": _OF_POSITIONS})


def _with_size_of_heads(config: Mapping[str, Any]) -> CompositeRule:
    """The size of a head has an entry of its own, which is filled in where it says to derive it."""
    derived = config["hidden_dim"] // config["num_query_heads"]
    also = {"num_query_heads": {"head_dim": derived}} if config["head_dim"] is None else {}
    return CompositeRule((_WIDTH, _GROUPED), {"head_dim": _OF_POSITIONS}, also)


def _t5(config: Mapping[str, Any]) -> CompositeRule:
    """Its scores have no scale, so that heads can have fewer entries."""
    kept = {"num_heads": "heads and their entries lie along one axis of its projections"}
    if config["key_value_dim"] is None:
        return CompositeRule((_WIDTH,), kept | {"key_value_dim": "it is None: that of a head is derived from others"})
    return CompositeRule((_WIDTH, "key_value_dim"), kept)


HUB_RULES: Mapping[str, Rule] = {
    **_of_hub(
        "TransformerEncoder TransformerDecoder AlbertBackbone BartBackbone BertBackbone BloomBackbone "
        "DistilBertBackbone ElectraBackbone ESMBackbone GPT2Backbone GPTNeoXBackbone OPTBackbone RobertaBackbone "
        "WhisperBackbone DeiTBackbone DINOV2Backbone DINOV3Backbone",
        _WIDTH,
        num_heads=_derived("num_heads"),
    ),
    **_of_hub("FNetBackbone", _WIDTH),
    **_of_hub("FalconBackbone", _WIDTH, num_attention_heads=_derived("num_attention_heads")),
    **_of_hub("SmolLM3Backbone", _WIDTH, num_attention_heads=_derived("num_attention_heads")),
    **_of_hub("ViTBackbone", "mlp_dim", num_heads=_derived("num_heads")),
    **_of_hub(
        "LlamaBackbone Phi3Backbone QwenBackbone MixtralBackbone",
        _WIDTH,
        num_query_heads=_derived("num_query_heads"),
    ),
    **_of_hub("Qwen3Backbone", _WIDTH, _GROUPED, head_dim=_OF_POSITIONS),
    **_of_hub("Qwen3MoeBackbone", _OF_EXPERTS, _GROUPED, head_dim=_OF_POSITIONS),
    **_of_hub(
        "QwenMoeBackbone",
        _OF_EXPERTS,
        "shared_expert_intermediate_dim",
        num_query_heads=_derived("num_query_heads"),
    ),
    **_of_hub("RoformerV2Backbone", _WIDTH, "num_heads"),
    "keras_hub>GemmaBackbone": _gemma,
    "keras_hub>Gemma3Backbone": _gemma,
    "keras_hub>PaliGemmaBackbone": _gemma,
    "keras_hub>MistralBackbone": _with_size_of_heads,
    "keras_hub>GptOssBackbone": _with_size_of_heads,
    "keras_hub>T5Backbone": _t5,
    "keras_hub>T5GemmaBackbone": CompositeRule(
        tuple(
            size
            for side in ("encoder", "decoder")
            for size in (
                f"{side}_intermediate_dim",
                (f"{side}_num_attention_heads", f"{side}_num_key_value_heads"),
            )
        ),
        {},
    ),
}
