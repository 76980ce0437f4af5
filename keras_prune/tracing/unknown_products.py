"""Whether what a rule declared of an operation is all that it multiplies: the one place where that is decided."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from keras_prune import _keras
from keras_prune.tracing.products import Work

# Layers that multiply nothing, as MACs are counted: lookups, scales, statistics, windows without kernels, movement of
# entries; and augmentation, which is off at inference. Everything that is not named here has a rule that tells its
# products, or is unknown.
_FREE = (
    "Activation ActivityRegularization Add AlphaDropout AutoContrast Average BatchNormalization CategoryEncoding "
    "CenterCrop Concatenate Discretization Dropout ELU Embedding Equalization Flatten GaussianDropout GaussianNoise "
    "GroupNormalization HashedCrossing Hashing Identity IntegerLookup LayerNormalization LeakyReLU Masking Maximum "
    "MaxNumBoundingBoxes Minimum Multiply Normalization PReLU Permute RMSNormalization ReLU RepeatVector Rescaling "
    "Reshape Resizing Softmax Solarization StringLookup Subtract TextVectorization UnitNormalization "
    "AugMix CutMix MixUp RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast "
    "RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHue RandomInvert "
    "RandomCrop RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear "
    "RandomTranslation RandomZoom"
)
_WINDOWS = (
    "AdaptiveAveragePooling AdaptiveMaxPooling AveragePooling Cropping GlobalAveragePooling GlobalMaxPooling "
    "MaxPooling SpatialDropout UpSampling ZeroPadding"
)
_NAMES = _FREE.split() + [f"{name}{rank}D" for name in _WINDOWS.split() for rank in (1, 2, 3)]
FREE_LAYERS = frozenset(getattr(layers, name) for name in _NAMES if hasattr(layers, name))
# The operations of `keras.ops` that do multiply, or run functions that may; all others do not.
_BUSY = (
    "numpy.Matmul numpy.Einsum numpy.Dot numpy.Tensordot numpy.Inner numpy.Outer numpy.Vdot numpy.Kron numpy.Cross "
    "numpy.Correlate numpy.Corrcoef numpy.Vander nn.Conv nn.DepthwiseConv nn.SeparableConv nn.ConvTranspose "
    "nn.DotProductAttention math.FFT math.FFT2 math.IFFT2 math.RFFT math.IRFFT math.STFT math.ISTFT math.CDist "
    "math.Logdet core.Map core.Scan core.AssociativeScan core.Switch core.WhileLoop core.ForiLoop core.Cond "
    "core.VectorizedMap linalg.Cholesky linalg.CholeskyInverse linalg.Det linalg.Eig linalg.Eigh linalg.Inv "
    "linalg.LuFactor linalg.Qr linalg.Solve linalg.SolveTriangular linalg.SVD linalg.Lstsq linalg.MatrixRank "
    "linalg.Pinv linalg.JVP numpy.Slogdet image.GaussianBlur image.ElasticTransform image.SobelEdges image.SSIM"
)
_BUSY_OPERATIONS = frozenset(_keras.operation_classes(*_BUSY.split()))
# Their rule goes through the parts one by one, and may give up in the middle.
_OF_PARTS = (layers.Wrapper, layers.RNN)


def why_unknown(operation: Any, kind: str, work: Sequence[Work], gave_up: str) -> str:
    """Return why it is unknown what one use of an operation multiplies; empty if it is known.

    Args:
        operation: The operation.
        kind: Its class and path, for messages.
        work: What its rule declared.
        gave_up: Why it has no rule, or why its rule gave up; else empty.
    """
    if gave_up and not _is_complete(operation, work):
        return gave_up
    if any(each.positions is None for each in work):
        return f"{kind}: a size, or the order of products, is unknown"
    return ""


def _is_complete(operation: Any, work: Sequence[Work]) -> bool:
    """Whether this is all that an operation multiplies, though its rule gave up, or there is none."""
    kind = type(operation)
    if not _keras.is_of_keras(kind):
        return False
    if work:  # the rules of Keras's own classes tell the products first, and then what they do not know
        return not isinstance(operation, _OF_PARTS)
    return kind in FREE_LAYERS if isinstance(operation, keras.Layer) else kind not in _BUSY_OPERATIONS
