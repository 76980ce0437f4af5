"""Damage of files, at random: of bytes, of the members of archives, of values in JSON, of objects in HDF5."""

import copy
import io
import json
import zipfile

import h5py
import numpy as np

VALUES = (
    *(None, True, False, 0, 1, -1, 3, 10**9, 10**30, -(10**30), 0.5, 1e308, float("inf"), float("nan")),
    *("", "x", "../x", "/etc/passwd", "\x00", "a" * 5000, [], [[]], [None], {}, {"class_name": "Dense", "config": {}}),
    *([1, 2], {"a": {"b": []}}),
)


def deep(depth=2000):
    found = []
    for _ in range(depth):
        found = [found]
    return found


def pick(rng, items):
    return items[int(rng.integers(len(items)))]


def of_bytes(rng, content):
    """Bytes changed, removed, repeated or added."""
    content = bytearray(content)
    size = max(len(content), 1)
    start = int(rng.integers(size))
    length = int(rng.integers(1, min(64, size) + 1))
    kind = pick(rng, ("flip", "flip", "flip", "cut", "zero", "remove", "repeat", "noise"))
    if kind == "flip":
        for place in rng.integers(size, size=int(rng.integers(1, 9))):
            if content:
                content[place] ^= int(rng.integers(1, 256))
    elif kind == "cut":
        del content[start:]
    elif kind == "zero":
        content[start : start + length] = bytes(length)
    elif kind == "remove":
        del content[start : start + length]
    elif kind == "repeat":
        content[start:start] = content[start : start + length]
    else:
        content[start : start + length] = rng.bytes(length)
    return bytes(content)


def of_json(rng, text):
    """A value replaced by one of another type, removed, renamed or repeated."""
    tree = json.loads(text)
    places = []

    def walk(node):
        for key in node if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    walk(tree)
    for _ in range(int(rng.integers(1, 3))):
        node, key = pick(rng, places)
        if (key not in node) if isinstance(node, dict) else key >= len(node):
            continue
        kind = pick(rng, ("value", "value", "value", "value", "remove", "rename", "repeat", "swap", "deep"))
        if kind == "value":
            node[key] = copy.deepcopy(pick(rng, VALUES))
        elif kind == "deep":
            node[key] = deep(300)
        elif kind == "remove":
            del node[key]
        elif kind == "swap":
            other, place = pick(rng, places)
            if place in other if isinstance(other, dict) else place < len(other):
                node[key] = copy.deepcopy(other[place])
        elif isinstance(node, dict):
            node[f"{key}x" if kind == "rename" else pick(rng, list(node))] = node[key]
        else:
            node.insert(key, copy.deepcopy(node[key]))
    return json.dumps(tree)


def of_archive(rng, content, of_member):
    """Members swapped, repeated, removed, damaged (with their checksum right again) or changed by `of_member`."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    index = int(rng.integers(len(members)))
    name, inner = members[index]
    kind = pick(rng, ("change", "change", "change", "bytes", "swap", "repeat", "remove", "rename"))
    if kind == "change":
        members[index] = (name, of_member(rng, name, inner))
    elif kind == "bytes":
        members[index] = (name, of_bytes(rng, inner))
    elif kind == "swap":
        other = int(rng.integers(len(members)))
        members[index], members[other] = (name, members[other][1]), (members[other][0], inner)
    elif kind == "repeat":
        members.append((name, of_bytes(rng, inner)))
    elif kind == "remove":
        del members[index]
    else:
        members[index] = (pick(rng, (f"../{name}", f"/tmp/{name}", name.upper(), "assets/x", "")) or "x", inner)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", pick(rng, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, inner in members:
            archive.writestr(name, inner)
    return file.getvalue()


def of_hdf5(rng, content):
    """Objects removed, exchanged or replaced; attributes likewise, and their JSON changed."""
    memory = io.BytesIO(content)
    with h5py.File(memory, "r+") as file:
        found = []
        file.visit(found.append)
        kind = pick(rng, ("attribute", "attribute", "json", "array", "remove", "swap", "link"))
        holders = [each for each in (file, *(file[name] for name in found)) if each.attrs]
        if kind == "json" and "model_config" in file.attrs:
            file.attrs["model_config"] = of_json(rng, file.attrs["model_config"])
        elif kind == "attribute" and holders:
            holder = pick(rng, holders)
            values = (b"x", "2.0", 3, np.zeros(3), [b"x", b"y"], h5py.Empty("f4"), b"\xff", "[]", "{}")
            holder.attrs[pick(rng, list(holder.attrs))] = pick(rng, values)
        elif found:
            name = pick(rng, found)
            if kind == "swap":
                other = pick(rng, found)
                if not (other.startswith(name) or name.startswith(other)):
                    file.move(name, "x")
                    file.move(other, name)
                    file.move("x", other)
            else:
                del file[name]
                if kind == "array":
                    shape = pick(rng, ((), (0,), (3,), (1, 1), (2**31,), (6, 4)))
                    kwargs = {"chunks": (1000,)} if shape == (2**31,) else {}
                    file.create_dataset(name, shape, pick(rng, ("f4", "i8", "S3", "f2")), **kwargs)
                elif kind == "link":
                    file[name] = pick(rng, (h5py.SoftLink("/"), h5py.ExternalLink("other.h5", "/")))
    return memory.getvalue()
