"""Plans as files: JSON, written whole or not at all."""

import json
import pathlib
from typing import Any

from keras_prune.files import write_text


def write_plan(path: str | pathlib.Path, content: dict[str, Any]) -> None:
    """Writes a plan in one step: whoever opens the file sees the old one or the new one, whole."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def read_plan(path: str | pathlib.Path, key: str, kind: type) -> tuple[str, Any]:
    """The fingerprint, and what the file holds under a key.

    Raises:
        ValueError: The file holds something else.
    """
    content = json.loads(pathlib.Path(path).read_text())
    if not isinstance(content, dict) or not isinstance(content.get(key), kind) or "fingerprint" not in content:
        raise ValueError(f"it must have 'fingerprint' and '{key}'")
    return str(content["fingerprint"]), content[key]
