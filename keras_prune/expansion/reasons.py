"""What an error says, in one line: Keras puts the calls of layers around it, in bold."""

import re

_BOLD = re.compile("\x1b\\[[0-9;]*m")
_AROUND = "Exception encountered when calling "
_NAMED = re.compile(r"^\w*(Error|Exception): (?=\S)")


def reason_of(error: Exception, named: bool = True) -> str:
    """Return the first line of an error that says something of its own.

    Args:
        error: The error.
        named: Whether it begins with the class of the error. Defaults to True.
    """
    lines = [_BOLD.sub("", line).strip() for line in str(error).splitlines()]
    own = [line for line in lines if line and _AROUND not in line]
    if not own:
        return type(error).__name__
    known = _NAMED.match(own[0])
    if known is None:
        return f"{type(error).__name__}: {own[0]}" if named else own[0]
    return own[0] if named else own[0][known.end() :]
