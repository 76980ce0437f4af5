"""The oldest versions that pyproject.toml allows, as constraints for pip: `python tools/floor.py EXTRA ...`."""

import re
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def oldest(*extras: str) -> list[str]:
    """A constraint `name==version` for each dependency that has a lower bound: those of the package and of extras.

    What follows the bound, such as a marker of Python's version, is kept for pip to judge.
    """
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    needs = project["dependencies"] + [need for extra in extras for need in project["optional-dependencies"][extra]]
    return [need.replace(">=", "==", 1) for need in needs if re.match(r"[\w.-]+>=", need)]


if __name__ == "__main__":
    print("\n".join(oldest(*sys.argv[1:])))
