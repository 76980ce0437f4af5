"""Fingerprints of models and data: so that measurements of one are never taken for those of another."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.masking.masked_weights import walk_layers

_LONGEST = 100  # letters of a value in a message


def fingerprint(*parts: Any) -> str:
    """One fingerprint of several parts: of what JSON can write by its value, of all else by its `describe`."""
    text = json.dumps(parts, sort_keys=True, default=describe)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def named(**parts: Any) -> dict[str, str]:
    """What measurements depend on, by name, as text: values as they are, or the fingerprint of what is long."""
    texts = {name: json.dumps(part, sort_keys=True, default=describe) for name, part in parts.items()}
    return {name: text if len(text) <= _LONGEST else fingerprint(texts[name]) for name, text in texts.items()}


def differing(saved: Any, now: Mapping[str, str]) -> str:
    """What differs between what a file was made with and what it is asked for now, with both values.

    Args:
        saved: What `named` gave for the file; anything else, if it is damaged.
        now: What it gives now.
    """
    made = saved if isinstance(saved, dict) else {}
    found = [
        f"{name}={text}, and it was made with {made[name]}"
        for name, text in now.items()
        if made.get(name, text) != text
    ]
    return "; ".join(found) or "settings that it does not list"


def model_fingerprint(model: keras.Model) -> str:
    """The fingerprint of layers, their settings and all weights. Names of layers count: results refer to them."""
    digest = hashlib.sha256()
    for path, layer in walk_layers(model):
        digest.update(f"{path} {describe(layer)}\n".encode())
    for weight in model.weights:
        values = _keras.as_numpy(weight)
        digest.update(f"{values.shape} {values.dtype}\n".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:16]


def data_fingerprint(batches: Iterable[Any]) -> str:
    """The fingerprint of all samples in batches `(x, y, sample_weight)`, whatever their order and batch size."""
    total = count = 0
    for batch in batches:
        leaves = [np.ascontiguousarray(leaf) for leaf in keras.tree.flatten(batch) if leaf is not None]
        kind = " ".join(f"{leaf.dtype}{leaf.shape[1:]}" for leaf in leaves).encode()
        for rows in zip(*leaves, strict=True):
            digest = hashlib.blake2b(kind, digest_size=16)
            for row in rows:
                digest.update(row.tobytes())
            total += int.from_bytes(digest.digest(), "big")
            count += 1
    return f"{count}-{total % 2**128:032x}"


def describe(thing: Any) -> Any:
    """A layer, metric, optimizer, function or plain value as text, without running it."""
    if hasattr(thing, "get_config") and not isinstance(thing, type):
        try:
            return f"{type(thing).__name__} {json.dumps(thing.get_config(), sort_keys=True, default=describe)}"
        except Exception:  # whatever a class of the user's raises
            return type(thing).__name__
    if isinstance(thing, np.ndarray | np.generic):
        return thing.tolist()
    if hasattr(thing, "item") and getattr(thing, "ndim", None) == 0:
        return thing.item()
    return getattr(thing, "__qualname__", None) or type(thing).__qualname__
