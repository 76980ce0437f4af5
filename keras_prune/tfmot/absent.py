"""Names of tfmot that do not exist here: asking for one raises an error that says what to use."""

from collections.abc import Callable, Mapping
from typing import NoReturn


def refuse(module: str, names: list[str], instead: Mapping[str, str]) -> Callable[[str], NoReturn]:
    """The `__getattr__` of a module that lacks names of tfmot's module.

    Args:
        module: Its name.
        names: Those that it has.
        instead: What to use for those that it lacks, by name; `"*"`: for all others.
    """

    def missing(name: str) -> NoReturn:
        hint = instead.get(name) or instead.get("*")
        # Python itself asks for such names, and must get a plain answer.
        if name.startswith("__") or hint is None:
            has = f"; it has {', '.join(names)}" if names else ""
            raise AttributeError(f"module '{module}' has no attribute '{name}'{has}", name=name)
        raise AttributeError(
            f"tfmot's `{name}` does not exist in keras_prune. {hint} Received: {module}.{name}", name=name
        )

    return missing
