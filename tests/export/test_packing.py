"""`pack` and `unpack`: against the xz of Python's own library, and damaged archives."""

import lzma
import zlib

import keras
import numpy as np
import pytest
from support import tflite_files as made
from support.versions import needs_tensorflow

import tflite_export
from tflite_export.packaging import xz

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow converts")


@pytest.fixture
def archive(tflite_files, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(tflite_files[1]["int8"].read_bytes())
    tflite_export.pack(path)
    return path, tmp_path / "model.tflite.xz"


BYTES = needs_tensorflow("2.21", "its int8 file of 7 kB gets four bytes larger")


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=BYTES if kind == "int8" else []) for kind in made.KINDS])
def test_no_larger_than_with_the_settings_of_xz(tflite_files, tmp_path, kind):
    packed = tflite_export.pack(tflite_files[1][kind], tmp_path / "a.tflite.xz")
    assert packed.xz_bytes <= len(lzma.compress(tflite_files[1][kind].read_bytes(), preset=9))


@pytest.mark.parametrize("kind", made.KINDS)
def test_there_and_back(tflite_files, tmp_path, kind):
    path = tflite_files[1][kind]
    packed = tflite_export.pack(path, tmp_path / "a.tflite.xz")
    content = path.read_bytes()
    assert lzma.decompress((tmp_path / "a.tflite.xz").read_bytes()) == content
    assert packed.path == tmp_path / "a.tflite.xz"
    assert (packed.bytes, packed.xz_bytes) == (len(content), packed.path.stat().st_size)
    assert packed.ratio == packed.bytes / packed.xz_bytes > 1
    assert tflite_export.inspect(path).xz_bytes == packed.xz_bytes
    again = tflite_export.unpack(packed.path)
    assert again.path == tmp_path / "a.tflite"
    assert again.path.read_bytes() == content
    assert (again.bytes, again.xz_bytes) == (packed.bytes, packed.xz_bytes)
    assert f"{len(content):,} bytes" in str(again)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.tflite", "a.tflite.xz"]


def test_archives_of_others(archive):
    path, packed = archive
    packed.write_bytes(lzma.compress(path.read_bytes(), preset=9))  # a dictionary of 64 MB
    content = path.read_bytes()
    tflite_export.unpack(packed, overwrite=True)
    assert path.read_bytes() == content


def test_what_stands_there_stays(archive):
    path, packed = archive
    before = path.read_bytes(), packed.read_bytes()
    with pytest.raises(ValueError, match=r"must not exist, unless overwrite=True. Received: '.*model.tflite.xz'"):
        tflite_export.pack(path)
    with pytest.raises(ValueError, match=r"must not exist, unless overwrite=True. Received: '.*model.tflite'"):
        tflite_export.unpack(packed)
    assert (path.read_bytes(), packed.read_bytes()) == before
    tflite_export.pack(path, overwrite=True)
    tflite_export.unpack(packed, overwrite=True)
    assert (path.read_bytes(), packed.read_bytes()) == before


def test_damaged_archives(archive, rng):
    path, packed = archive
    content, files = packed.read_bytes(), sorted(path.parent.iterdir())
    changed = []
    for end in (0, 5, 20, len(content) // 2, len(content) - 1):
        changed.append(content[:end])
    for _ in range(30):
        damaged = bytearray(content)
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
        changed.append(bytes(damaged))
    changed += [content + b"more", content + content, rng.bytes(1000), path.read_bytes()]
    for damaged in changed:
        packed.write_bytes(damaged)
        with pytest.raises(ValueError, match="Received: "):
            tflite_export.unpack(packed, path.parent / "new.tflite")
        assert sorted(path.parent.iterdir()) == files


def test_bombs(archive):
    path, packed = archive
    size = path.stat().st_size
    with pytest.raises(ValueError, match=rf"at most `limit`, {size - 1:,} bytes. Received: more"):
        tflite_export.unpack(packed, overwrite=True, limit=size - 1)
    tflite_export.unpack(packed, overwrite=True, limit=size)
    packed.write_bytes(lzma.compress(bytes(50_000_000), preset=1))
    assert packed.stat().st_size < 20_000
    with pytest.raises(ValueError, match=r"at most `limit`, 1,000,000 bytes"):
        tflite_export.unpack(packed, overwrite=True, limit=1_000_000)
    packed.write_bytes(greedy())
    with pytest.raises(ValueError, match=r"Received: Memory usage limit exceeded"):
        tflite_export.unpack(packed, overwrite=True)


def greedy():
    """An archive that wants a gigabyte of memory to read any of it: its header changed by hand."""
    content = bytearray(lzma.compress(b"TFL3" * 10, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 12}]))
    place = content.index(b"\x21\x01\x00", 12)  # LZMA2, one byte of properties, the smallest dictionary
    content[place + 2] = 36  # in the steps of the format
    end = 12 + 4 * (content[12] + 1)
    content[end - 4 : end] = zlib.crc32(content[12 : end - 4]).to_bytes(4, "little")
    return bytes(content)


def test_what_is_no_tflite_file(tmp_path):
    path = tmp_path / "noise.tflite"
    path.write_bytes(np.random.default_rng(0).bytes(500))
    with pytest.raises(ValueError, match=r"must be a .tflite file, whole.*Received: 500 bytes"):
        tflite_export.pack(path)
    packed = tmp_path / "noise.tflite.xz"
    packed.write_bytes(lzma.compress(path.read_bytes()))
    with pytest.raises(ValueError, match=r"must be a .tflite file, whole.*Received: 500 bytes"):
        tflite_export.unpack(packed, overwrite=True)
    for arguments in ((tmp_path / "none.tflite.xz",), (None,)):
        with pytest.raises(ValueError, match=r"`path` must be a .tflite.xz file. Received: "):
            tflite_export.unpack(*arguments)
    with pytest.raises(ValueError, match=r"`limit` must be an integer of at least 1. Received: limit=0"):
        tflite_export.unpack(packed, limit=0)


def test_where_the_file_may_go(archive, tmp_path):
    path, packed = archive
    with pytest.raises(ValueError, match=r"`out` must end in .tflite.xz. Received: 'a.xz'"):
        tflite_export.pack(path, "a.xz")
    with pytest.raises(ValueError, match=r"`out` must end in .tflite. Received: 'a.bin'"):
        tflite_export.unpack(packed, "a.bin")
    with pytest.raises(ValueError, match=r"a folder that exists. Received: '.*no/a.tflite'"):
        tflite_export.unpack(packed, tmp_path / "no" / "a.tflite")
    link = tmp_path / "link.tflite"
    link.symlink_to(tmp_path / "real.tflite")
    tflite_export.unpack(packed, link)
    assert link.is_symlink()
    assert (tmp_path / "real.tflite").read_bytes() == path.read_bytes()


def test_a_file_that_appears_meanwhile_is_kept(archive, monkeypatch):
    path, packed = archive
    read = xz.flatbuffer.read
    for appears, work in ((packed, lambda: tflite_export.pack(path)), (path, lambda: tflite_export.unpack(packed))):
        content = appears.read_bytes()
        appears.unlink()
        monkeypatch.setattr(xz.flatbuffer, "read", lambda *_: appears.write_text("mine") and read(*_))  # noqa: B023
        with pytest.raises(ValueError, match="A file has appeared"):
            work()
        assert appears.read_text() == "mine"
        appears.write_bytes(content)
    assert len(list(path.parent.iterdir())) == 2
