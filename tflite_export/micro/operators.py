"""The operators of TensorFlow Lite Micro, as its `micro_mutable_op_resolver.h` has them (August 2026)."""

_BUILTIN = """
ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_ARGS
BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE
DIV DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD
FULLY_CONNECTED GATHER GATHER_ND GREATER GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION L2_POOL_2D LEAKY_RELU
LESS LESS_EQUAL LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM
MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PADV2 PRELU QUANTIZE READ_VARIABLE REDUCE_ALL REDUCE_MAX REDUCE_MIN RELU
RELU6 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX
SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF
TANH TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE ZEROS_LIKE
"""

# Custom operators named "Signal" and what follows "Add".
_SIGNAL = """
Delay Energy FftAutoScale FilterBank FilterBankLog FilterBankSpectralSubtraction FilterBankSquareRoot Framer Irfft
OverlapAdd PCAN Rfft Stacker Window
"""

# Methods whose names do not follow from the operator's.
_IRREGULAR = {
    "BATCH_MATMUL": "AddBatchMatMul",
    "CUMSUM": "AddCumSum",
    "PADV2": "AddPadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "AddUnidirectionalSequenceLSTM",
    "CUSTOM CIRCULAR_BUFFER": "AddCircularBuffer",
    "CUSTOM TFLM_DECODE": "AddDecode",
    "CUSTOM TFLite_Detection_PostProcess": "AddDetectionPostprocess",
    "CUSTOM ethos-u": "AddEthosU",
}


def method(operator: str) -> str | None:
    """Return the method of `MicroMutableOpResolver` that registers an operator; None if there is none.

    Args:
        operator: Its name in the schema: "CONV_2D"; custom ones as "CUSTOM ethos-u".
    """
    if operator in _IRREGULAR:
        return _IRREGULAR[operator]
    if operator in _BUILTIN.split():
        return "Add" + "".join(word.capitalize() for word in operator.split("_")).replace("2d", "2D")
    custom, _, signal = operator.partition("CUSTOM Signal")
    return f"Add{signal}" if not custom and signal in _SIGNAL.split() else None
