"""Plans as files: JSON, written whole or not at all."""

import json
import os
import pathlib
import secrets
from typing import Any


def write_plan(path: str | pathlib.Path, content: dict[str, Any]) -> None:
    """Writes a plan in one step: whoever opens the file sees the old one or the new one, whole."""
    target = pathlib.Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_text(json.dumps(content, indent=1) + "\n")
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def read_plan(path: str | pathlib.Path, key: str, kind: type) -> tuple[str, Any]:
    """The fingerprint, and what the file holds under a key.

    Raises:
        ValueError: The file holds something else.
    """
    content = json.loads(pathlib.Path(path).read_text())
    if not isinstance(content, dict) or not isinstance(content.get(key), kind) or "fingerprint" not in content:
        raise ValueError(f"it must have 'fingerprint' and '{key}'")
    return str(content["fingerprint"]), content[key]
