"""`to_c_array`: a `.tflite` file as C source, for a program without a file system."""

import functools
import os
import re
from dataclasses import dataclass
from pathlib import Path

from tflite_export.reader import flatbuffer
from tflite_export.reporting import Shown
from tflite_export.storage import checked_target, write_together

_SOURCES = (".c", ".cc", ".cpp")
_ROW = 12
# Of C and C++ alike, and what <stddef.h> names.
_KEYWORDS = """
alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class compl
concept const const_cast consteval constexpr constinit continue co_await co_return co_yield decltype default delete
do double dynamic_cast else enum explicit export extern false float for friend goto if inline int long main mutable
namespace new noexcept not not_eq nullptr operator or or_eq private protected public register reinterpret_cast
requires restrict return short signed size_t sizeof static static_assert static_cast struct switch template this
thread_local throw true try typedef typeid typename typeof typeof_unqual union unsigned using virtual void volatile
wchar_t while xor xor_eq offsetof ptrdiff_t max_align_t NULL
"""


@dataclass(frozen=True)
class CArray(Shown):
    """C array that `to_c_array` wrote.

    Attributes:
        header: The header; include it.
        source: The source; compile it, as C11 or later, or as C++11 or later.
        name: The name of the array; its length is `<name>_len`.
        bytes: The length, in bytes.
    """

    header: Path
    source: Path
    name: str
    bytes: int


def to_c_array(
    path: str | os.PathLike[str], out: str | os.PathLike[str], name: str | None = None, *, overwrite: bool = False
) -> CArray:
    """Write a `.tflite` file as a C array: a header, and a source that is valid C and C++.

    The array begins at a multiple of 16 bytes: interpreters read its numbers in place, and LiteRT's files
    align them to 16.

    Args:
        path: The `.tflite` file.
        out: The source to write, ending in `.c`, `.cc` or `.cpp`; the header is written beside it, ending in `.h`.
        name: The name of the array. Defaults to None, that of the source.
        overwrite: Whether files that exist may be replaced. Defaults to False.

    Returns:
        Where the header and the source are, the array's name and its length in bytes.

    Raises:
        ValueError: `path` is not a whole `.tflite` file, `name` is not a name in C, or `out` cannot be written to, at
            the begin or in the end; then neither file is written.
        ImportError: ai-edge-litert is not installed.

    Example:

    ```python
    import keras
    import tflite_export

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    tflite_export.export(model, "model.tflite")
    array = tflite_export.to_c_array("model.tflite", "model_data.cc")
    print(array.header, array.name, array.bytes)
    ```
    """
    content = flatbuffer.load(path)
    flatbuffer.read(content)
    source = checked_target(out, _SOURCES, overwrite=overwrite, name="out")
    header = checked_target(Path(out).with_suffix(".h"), (".h",), overwrite=overwrite, name="out")
    if name is None:
        name = re.sub(r"\W", "_", Path(out).stem, flags=re.ASCII)
        name = f"model_{name}" if name[0].isdigit() or name[0] == "_" or _is_keyword(name) else name
    elif not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) or _is_keyword(name):
        raise ValueError(f"`name` must be a name in C that begins with a letter. Received: {name!r}")
    title = re.sub(r"[^\w. -]", "_", Path(path).name)  # no end of the comment in it
    texts = {header: _header(title, name, len(content)), source: _source(title, name, header.name, content)}
    files = [(file, functools.partial(_save, text)) for file, text in texts.items()]
    write_together(files, overwrite=overwrite)
    return CArray(Path(out).with_suffix(".h"), Path(out), name, len(content))


def _save(text: str, path: Path) -> None:
    path.write_bytes(text.encode())


def _is_keyword(name: str) -> bool:
    return name in _KEYWORDS.split()


def _header(title: str, name: str, length: int) -> str:
    guard = f"{name.upper()}_H_"
    return f"""/* {title}, {length} bytes, as an array. Written by tflite_export. */
#ifndef {guard}
#define {guard}

#include <stddef.h>

#ifdef __cplusplus
extern "C" {{
#endif

extern const unsigned char {name}[{length}];
extern const size_t {name}_len;

#ifdef __cplusplus
}}
#endif

#endif /* {guard} */
"""


def _source(title: str, name: str, header: str, content: bytes) -> str:
    rows = (content[start : start + _ROW] for start in range(0, len(content), _ROW))
    numbers = "\n".join("  " + " ".join(f"0x{byte:02x}," for byte in row) for row in rows)
    align = f"{name.upper()}_ALIGN"
    return f"""/* {title}, {len(content)} bytes, as an array. Written by tflite_export. */
#include "{header}"

#ifdef __cplusplus
#define {align} alignas(16)
#else
#define {align} _Alignas(16)
#endif

{align} const unsigned char {name}[{len(content)}] = {{
{numbers}
}};
const size_t {name}_len = sizeof({name});
"""
