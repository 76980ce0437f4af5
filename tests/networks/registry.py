"""Small networks as tutorials write them: each a function without arguments that returns a built model and inputs.

Their classes stand for habits: layers in lists and dictionaries, weights of their own, `training` flags, no
`get_config`, models that know their inputs only from data, inputs and outputs that are dictionaries.
"""

import keras
from networks import convolutions, generative, mixers, recent, tables_and_points, text, vision_transformers

_BUILDS = [
    vision_transformers.vision_transformer,
    vision_transformers.compact_transformer,
    vision_transformers.swin_transformer,
    vision_transformers.mobile_vit,
    mixers.mlp_mixer,
    mixers.gmlp,
    mixers.fnet,
    text.text_classifier,
    text.miniature_gpt,
    text.sequence_to_sequence,
    text.speech_transformer,
    convolutions.subclassed_resnet,
    convolutions.unet,
    convolutions.convnext,
    convolutions.squeeze_excite_network,
    convolutions.cbam,
    convolutions.inception,
    convolutions.keyword_spotting,
    generative.variational_autoencoder,
    generative.autoencoder,
    generative.pixel_cnn,
    generative.image_generator,
    generative.wavenet,
    tables_and_points.deep_and_cross,
    tables_and_points.tab_transformer,
    tables_and_points.temporal_fusion,
    tables_and_points.graph_attention,
    tables_and_points.nerf,
    tables_and_points.pointnet,
    tables_and_points.siamese,
    recent.switch_transformer,
    recent.mixture_of_experts,
    recent.state_space,
    recent.retentive_network,
    recent.multi_query_transformer,
    recent.kolmogorov_arnold,
    recent.capsule_network,
    recent.basis_expansion,
    recent.standardized_kernels,
    recent.distances,
]

# By name; those that every backend runs.
NETWORKS = {build.__name__: build for build in _BUILDS}

# Where more than 45 % of the parameters are kept when half of all channels are removed, and why.
STAYS = {
    "fnet": "a Fourier transform mixes all channels of the residual stream: only those in the blocks are removed",
    "gmlp": "the weights over patches are kept: how many patches there are, the image says",
    "miniature_gpt": "the residual stream is an output",
}

# Those that only TensorFlow runs; empty on other backends.
ON_TENSORFLOW = {}
if keras.backend.backend() == "tensorflow":
    from networks import with_tensorflow

    _MORE = [
        with_tensorflow.self_attention_of_tensorflow,
        with_tensorflow.patches_of_tensorflow,
        with_tensorflow.super_resolution_of_tensorflow,
    ]
    ON_TENSORFLOW = {build.__name__: build for build in _MORE}
