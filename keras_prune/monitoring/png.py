"""Grey images as PNG files (ISO/IEC 15948), which TensorBoard shows: so no package for images is needed."""

import struct
import zlib

import numpy as np


def grey_png(image: np.ndarray) -> bytes:
    """A PNG file.

    Args:
        image: Matrix of floats in [0, 1]: 0 is black, 1 white.
    """
    height, width = image.shape
    dots = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    rows = np.concatenate([np.zeros((height, 1), np.uint8), dots], axis=1)  # each begins with its filter: none
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)  # 8 bits, grey
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
