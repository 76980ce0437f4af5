"""`tfmot.quantization.keras`, of which nothing exists here: each name says what to use."""

from keras_prune.tfmot.absent import refuse

__all__: list[str] = []

_AFTER = (
    'There is no training with quantisation: `tflite_export.export(model, path, quantize="int8", '
    "representative_data=x)` quantises after training, and checks the file."
)

__getattr__ = refuse(__name__, __all__, {"*": _AFTER})
