"""The families of KerasHub, each as a tiny backbone with random weights and a small head.

The head reads the mean of each output over its positions, so that the width of a backbone is not that of an output.
"""

import keras
import numpy as np
from keras import layers, ops

VOCABULARY = 24
LENGTH = 8
SOUND = 2048  # samples of a sound, of which few positions are left
HEAD = "head_of_three"
TEXT = {"vocabulary_size": VOCABULARY, "num_layers": 2, "num_heads": 4, "hidden_dim": 16, "intermediate_dim": 32}
SHORT = TEXT | {"max_sequence_length": LENGTH}
GROUPED = {
    "vocabulary_size": VOCABULARY,
    "num_layers": 2,
    "num_query_heads": 4,
    "num_key_value_heads": 2,
    "hidden_dim": 16,
    "intermediate_dim": 32,
}
EXPERTS = {"num_experts": 4, "top_k": 2}
IMAGE = (16, 16, 3)
PATCHES = {"image_shape": IMAGE, "patch_size": 4, "num_layers": 2, "num_heads": 4, "hidden_dim": 16}
VISION = PATCHES | {"intermediate_dim": 32}
TOWER = TEXT | {"embedding_dim": 16, "max_sequence_length": LENGTH}
STAGES = {
    "input_conv_filters": [64],
    "input_conv_kernel_sizes": [3],
    "stackwise_num_filters": [64, 64],  # the first one must be 64
    "stackwise_num_blocks": [1, 2],
    "stackwise_num_strides": [1, 2],
    "image_shape": IMAGE,
}
ENCODER_DECODER = {
    "vocabulary_size": VOCABULARY,
    **{
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in {
            "hidden_dim": 16,
            "intermediate_dim": 32,
            "num_layers": 1,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 4,
            "layer_types": ["full_attention"],
        }.items()
    },
}
SMOL = {
    "vocabulary_size": VOCABULARY,
    "hidden_dim": 16,
    "intermediate_dim": 32,
    "num_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "rope_layer_enabled_list": [True, False],
    "layer_types": ["full_attention"] * 2,
    "mlp_bias": False,
    "layer_norm_epsilon": 1e-5,
    "max_position_embeddings": 32,
    "rope_theta": 10000.0,
    "partial_rotary_factor": 1.0,
}


def two_towers(vision, text, **arguments):
    def build(hub):
        towers = {"vision_encoder": getattr(hub, vision)(**VISION), "text_encoder": getattr(hub, text)(**TOWER)}
        return {**towers, **arguments}

    return build


def resnet(hub, **arguments):
    return hub.ResNetBackbone(**STAGES | arguments, block_type="basic_block")


def mix_transformer(**arguments):
    return {
        "layerwise_depths": [1, 1],
        "num_layers": 2,
        "layerwise_num_heads": [2, 4],
        "layerwise_sr_ratios": [2, 1],
        "max_drop_path_rate": 0.1,
        "layerwise_patch_sizes": [7, 3],
        "layerwise_strides": [4, 2],
        "hidden_dims": [16, 24],
        "image_shape": IMAGE,
        **arguments,
    }


# By name of the class, without "Backbone": its arguments, or a function of `keras_hub.models` that returns them.
FAMILIES = {
    "Albert": TEXT | {"embedding_dim": 8, "max_sequence_length": LENGTH},
    "BASNet": lambda hub: {
        "image_encoder": resnet(
            hub,
            stackwise_num_filters=[64] * 4,
            stackwise_num_blocks=[1] * 4,
            stackwise_num_strides=[1, 2, 2, 2],
            image_shape=(None, None, 3),
        ),
        "num_classes": 1,
        "projection_filters": 64,
        "image_shape": (64, 64, 3),
    },
    "Bart": SHORT,
    "Bert": SHORT,
    "Bloom": TEXT,
    "CLIP": two_towers("CLIPVisionEncoder", "CLIPTextEncoder", projection_dim=8),
    "CSPNet": {
        "stem_filters": 8,
        "stem_kernel_size": 3,
        "stem_strides": 1,
        "stackwise_depth": [1, 2],
        "stackwise_strides": [1, 2],
        "stackwise_num_filters": [12, 16],
        "block_type": "dark_block",
        "stage_type": "dark",
        "bottle_ratio": [0.5],
        "block_ratio": [1.0],
        "expand_ratio": [1.0],
        "image_shape": IMAGE,
    },
    "DebertaV3": SHORT | {"bucket_size": 4},
    "DeepLabV3": lambda hub: {
        "image_encoder": resnet(hub),
        "spatial_pyramid_pooling_key": "P3",
        "low_level_feature_key": "P2",
        "upsampling_size": 2,
        "dilation_rates": [1, 2],
        "projection_filters": 8,
        "image_shape": IMAGE,
    },
    "DeiT": VISION,
    "DenseNet": {"stackwise_num_repeats": [2, 2], "growth_rate": 4, "image_shape": (32, 32, 3)},
    "DINOV2": VISION | {"position_embedding_shape": IMAGE},
    "DINOV3": VISION,
    "DepthAnything": lambda hub: {
        "image_encoder": hub.DINOV2Backbone(**VISION, position_embedding_shape=IMAGE),
        "reassemble_factors": [1, 1],
        "neck_hidden_dims": [8, 8],
        "fusion_hidden_dim": 8,
        "head_hidden_dim": 8,
        "head_in_index": -1,
        "feature_keys": ["stage1", "stage2"],
    },
    "DistilBert": SHORT,
    "EdRec": {
        "vocab_size": VOCABULARY,
        "num_layers_enc": 1,
        "num_layers_dec": 1,
        "hidden_dim": 16,
        "intermediate_dim": 32,
        "num_heads": 4,
    },
    "EfficientNet": {
        "stackwise_width_coefficients": [1.0] * 2,
        "stackwise_depth_coefficients": [1.0] * 2,
        "stackwise_kernel_sizes": [3, 3],
        "stackwise_num_repeats": [1, 2],
        "stackwise_input_filters": [8, 8],
        "stackwise_output_filters": [8, 16],
        "stackwise_expansion_ratios": [1, 4],
        "stackwise_squeeze_and_excite_ratios": [0.25, 0.25],
        "stackwise_strides": [1, 2],
        "stackwise_block_types": ["v1", "v1"],
        "stackwise_force_input_filters": [0, 0],
        "stackwise_nores_option": [False, False],
        "num_features": 24,
        "input_shape": IMAGE,
    },
    "Electra": {("vocab_size" if key == "vocabulary_size" else key): value for key, value in SHORT.items()}
    | {"embedding_dim": 8},
    "ESM": SHORT,
    "FNet": {key: value for key, value in SHORT.items() if key != "num_heads"},
    "Falcon": {("num_attention_heads" if key == "num_heads" else key): value for key, value in TEXT.items()},
    "GPT2": SHORT,
    "GPTNeoX": SHORT | {"rotary_percentage": 0.5},
    "Gemma": GROUPED | {"head_dim": 8},
    "Gemma3": GROUPED | {"head_dim": 8, "image_size": 16},
    "Gemma4": GROUPED | {"head_dim": 8, "image_size": 16},
    "GptOss": GROUPED | EXPERTS | {"head_dim": 4},
    "HGNetV2": {
        "depths": [1, 1],
        "embedding_size": 8,
        "hidden_sizes": [12, 16],
        "stem_channels": [3, 8, 8],
        "hidden_act": "relu",
        "use_learnable_affine_block": False,
        "stackwise_stage_filters": [[8, 8, 12, 1, 2, 3], [12, 8, 16, 1, 2, 3]],
        "apply_downsample": [False, True],
        "use_lightweight_conv_block": [False, False],
        "image_shape": (32, 32, 3),
    },
    "Llama": GROUPED,
    "Llama3": GROUPED,
    "MetaCLIP2": two_towers("MetaCLIP2VisionEncoder", "MetaCLIP2TextEncoder", projection_dim=8),
    "MobileNet": {
        "stackwise_expansion": [[16, 24], [32]],
        "stackwise_num_blocks": [2, 1],
        "stackwise_num_filters": [[8, 8], [12]],
        "stackwise_kernel_size": [[3, 3], [5]],
        "stackwise_num_strides": [[1, 1], [2]],
        "stackwise_se_ratio": [[None, None], [0.25]],
        "stackwise_activation": [["relu", "relu"], ["hard_swish"]],
        "stackwise_padding": [[1, 1], [2]],
        "output_num_filters": 24,
        "depthwise_filters": 8,
        "depthwise_stride": 1,
        "depthwise_residual": True,
        "last_layer_filter": 24,
        "squeeze_and_excite": 0.5,
        "input_num_filters": 8,
        "image_shape": IMAGE,
    },
    "Moonshine": {
        "vocabulary_size": VOCABULARY,
        "filter_dim": 16,
        "encoder_num_layers": 1,
        "decoder_num_layers": 1,
        "hidden_dim": 16,
        "intermediate_dim": 32,
        "encoder_num_heads": 2,
        "decoder_num_heads": 2,
    },
    "MiT": mix_transformer(),
    "Mistral": GROUPED,
    "Mixtral": GROUPED | EXPERTS,
    "OPT": SHORT,
    "PARSeq": lambda hub: {
        "image_encoder": hub.ViTBackbone(**PATCHES, mlp_dim=32, use_class_token=False),
        "vocabulary_size": VOCABULARY,
        "max_label_length": LENGTH,
        "decoder_hidden_dim": 16,
        "num_decoder_layers": 1,
        "num_decoder_heads": 4,
        "decoder_mlp_dim": 32,
    },
    "PaliGemma": GROUPED
    | {
        "head_dim": 8,
        "image_size": 16,
        "vit_patch_size": 4,
        "vit_num_heads": 4,
        "vit_hidden_dim": 16,
        "vit_num_layers": 1,
        "vit_intermediate_dim": 32,
    },
    "Phi3": GROUPED | {"max_sequence_length": 32, "pretraining_sequence_length": 32},
    "Qwen": GROUPED,
    "Qwen3": GROUPED | {"head_dim": 8},
    "Qwen3Moe": GROUPED | EXPERTS | {"moe_intermediate_dim": 16, "head_dim": 8},
    "Qwen3_5": GROUPED
    | {
        "head_dim": 8,
        "partial_rotary_factor": 0.5,
        "layer_types": ["linear_attention", "full_attention"],
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 4,
        "linear_value_head_dim": 4,
    },
    "QwenMoe": GROUPED | EXPERTS | {"moe_intermediate_dim": 16, "shared_expert_intermediate_dim": 16},
    "RWKV7": {
        "hidden_size": 16,
        "head_size": 8,
        "num_layers": 2,
        "vocabulary_size": VOCABULARY,
        "intermediate_dim": 32,
        "gate_lora": 8,
        "mv_lora": 8,
        "aaa_lora": 8,
        "decay_lora": 8,
    },
    "ResNet": STAGES | {"block_type": "bottleneck_block"},
    "RetinaNet": lambda hub: {
        "image_encoder": resnet(hub),
        "min_level": 2,
        "max_level": 3,
        "use_p5": False,
        "image_shape": IMAGE,
    },
    "Roberta": SHORT,
    "RoformerV2": TEXT | {"head_size": 4},
    "SegFormer": lambda hub: {"image_encoder": hub.MiTBackbone(**mix_transformer()), "projection_filters": 16},
    "SigLIP": two_towers("SigLIPVisionEncoder", "SigLIPTextEncoder"),
    "SmolLM3": SMOL,
    "SwinTransformer": {
        "image_shape": (32, 32, 3),
        "embed_dim": 16,
        "depths": (2, 1),
        "num_heads": (2, 4),
        "window_size": 4,
    },
    "T5": TEXT,
    "T5Gemma": ENCODER_DECODER,
    "T5Gemma2": ENCODER_DECODER,
    "VideoPrism": {
        "num_frames": 2,
        "patch_size": 8,
        "hidden_dim": 16,
        "intermediate_dim": 32,
        "num_heads": 4,
        "num_spatial_layers": 1,
        "num_temporal_layers": 1,
        "num_auxiliary_layers": 0,
        "image_shape": IMAGE,
    },
    "VGG": {"stackwise_num_repeats": [1, 2], "stackwise_num_filters": [8, 12], "image_shape": IMAGE},
    "ViT": PATCHES | {"mlp_dim": 32},
    "ViTDet": {
        "hidden_size": 16,
        "num_layers": 2,
        "intermediate_dim": 32,
        "num_heads": 4,
        "global_attention_layer_indices": [1],
        "image_shape": (32, 32, 3),
        "patch_size": 4,
        "num_output_channels": 12,
        "window_size": 2,
    },
    "Whisper": TEXT | {"num_mels": 8, "max_encoder_sequence_length": 16, "max_decoder_sequence_length": LENGTH},
    "XLMRoberta": SHORT,
    "XLNet": TEXT,
    "Xception": {
        "stackwise_conv_filters": [[8, 8], [12, 12]],
        "stackwise_pooling": [True, False],
        "image_shape": (32, 32, 3),
    },
}

# One of each kind, which the suite runs too.
IN_SUITE = ["Bert", "GPT2", "Llama", "ResNet", "T5", "ViT"]


def describe(name):
    """What a family's backbone is made of, in a few words: its sizes."""
    arguments = FAMILIES[name]
    if callable(arguments):
        return "backbones of other families, or two towers"
    sizes = {
        "layers": ("num_layers", "num_layers_enc", "encoder_num_layers"),
        "wide": ("hidden_dim", "hidden_size", "encoder_hidden_dim", "embed_dim"),
        "heads": ("num_heads", "num_query_heads", "num_attention_heads", "encoder_num_attention_heads"),
        "experts": ("num_experts",),
    }
    found = {word: next((arguments[key] for key in keys if key in arguments), None) for word, keys in sizes.items()}
    words = [f"{value} {word}" for word, value in found.items() if isinstance(value, int)]
    return ", ".join(words) if words else "stages of convolutions"


def backbone(name):
    """The backbone of a family.

    Raises:
        ImportError: KerasHub is not installed.
    """
    from keras_hub import models as hub

    arguments = FAMILIES[name]
    return getattr(hub, f"{name}Backbone")(**(arguments(hub) if callable(arguments) else arguments))


def _named(model):
    """Inputs by name, and their structure."""
    return keras.tree.flatten_with_path(model.input) if isinstance(model.input, dict) else [((), model.inputs[0])]


def sizes_of(model):
    """The sizes to write it out for, of the inputs that are open."""
    named = [(path[-1] if path else tensor.name, tensor) for path, tensor in _named(model)]
    sound = any(name == "encoder_input_values" for name, _ in named)
    lengths = {name: SOUND if sound and name.startswith("encoder") else LENGTH for name, _ in named}
    return {
        name: [size or lengths[name] for size in tensor.shape[1:]] for name, tensor in named if None in tensor.shape[1:]
    }


def build(name):
    """A family's backbone with a head, and inputs."""
    body = backbone(name)
    if any(tensor.shape[-1] is None for tensor in keras.tree.flatten(body.output)):
        return body, example(body)  # it compares each sample with each other one
    means = []
    for tensor in keras.tree.flatten(body.output):
        between = tuple(range(1, len(tensor.shape) - 1))
        means.append(ops.mean(tensor, axis=between) if between else tensor)
    pooled = ops.concatenate(means, axis=-1) if len(means) > 1 else means[0]
    model = keras.Model(body.input, layers.Dense(3, name=HEAD)(pooled), name=name.lower())
    return model, example(model)


def example(model, count=2, seed=1):
    """Inputs of a model, in the structure that it takes: all tokens count, and indices are small."""
    rng = np.random.default_rng(seed)
    sizes = sizes_of(model)

    def draw(path, tensor):
        name = path[-1] if path else tensor.name
        shape = (count, *sizes.get(name, tensor.shape[1:]))
        if "mask" in name and "positions" not in name:
            return np.ones(shape, tensor.dtype)
        if keras.backend.is_float_dtype(tensor.dtype):
            return rng.normal(size=shape).astype(tensor.dtype)
        return rng.integers(0 if "segment" in name else 1, 2 if "segment" in name else LENGTH, shape).astype(
            tensor.dtype
        )

    drawn = [draw(*pair) for pair in _named(model)]
    return keras.tree.pack_sequence_as(model.input, drawn) if isinstance(model.input, dict) else drawn[0]
