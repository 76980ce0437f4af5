"""Lines that TensorFlow, LiteRT and absl log on standard error whatever a user does, and a program that filters them:
`... 2>&1 | python -I -S tflite_export/noise.py`. Nothing is imported here that it would have to wait for.
"""

import re
import sys

_NOISE = re.compile(
    rb"WARNING: All log messages"  # of absl
    rb"|INFO: |[IW]\d{4} |\d{4}-\d\d-\d\d .*: [IW] "  # LiteRT, absl, TensorFlow
    rb"|To enable the following instructions: "  # the rest of a line of TensorFlow
    # Errors that are none: there is no GPU, or two parts of TensorFlow bring the same plugin.
    rb"|(E\d{4} |\d{4}-\d\d-\d\d .*: E ).*(\bcuInit\b|cudaGetDevice|Unable to register cu|already registered)"
)


def is_noise(line: str | bytes) -> bool:
    """Return whether a line says nothing that a user can use."""
    return _NOISE.match(line if isinstance(line, bytes) else line.encode(errors="replace")) is not None


def main() -> None:
    """Copy standard input to standard error, line by line, without noise."""
    for line in sys.stdin.buffer:
        if not is_noise(line):
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()


if __name__ == "__main__":
    main()
