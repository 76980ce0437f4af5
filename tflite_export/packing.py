"""How small a file gets in a download: gzip and xz."""

import gzip
import lzma


def gzip_bytes(content: bytes) -> int:
    """The size after gzip, which web servers and app packages use."""
    return len(gzip.compress(content, 9, mtime=0))


def xz(content: bytes) -> bytes:
    """The content as an `.xz` file."""
    return lzma.compress(content, preset=9)
