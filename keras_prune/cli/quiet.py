"""The import of Keras without the logs of TensorFlow."""

import os
import sys

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


def import_keras() -> None:
    """Import Keras without the logs of TensorFlow, unless it is imported already or the user has set their level."""
    if "keras" in sys.modules or _LEVEL in os.environ:
        return
    os.environ[_LEVEL] = "2"  # errors only
    # Some lines come whatever the level is. TensorFlow writes them past Python, so the file itself is turned away.
    try:
        kept = os.dup(2)
    except OSError:  # there is no standard error
        return
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        import keras  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
