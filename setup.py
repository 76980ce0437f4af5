"""Everything is in pyproject.toml, except the long description, which is made from README."""

import re
from pathlib import Path

from setuptools import setup


def long_description(readme: str) -> str:
    """README without pictures, and without links to files beside it, which lead nowhere outside the repository."""
    beside = r"\((?!https?:)[^)]*\)"
    text = re.sub(rf"\[!\[[^\]]*\]{beside}\]{beside}\n?", "", readme)  # a picture that is a link
    text = re.sub(rf"!\[[^\]]*\]{beside}\n?", "", text)
    text = re.sub(rf"\[([^\]]*)\]{beside}", r"\1", text)
    return re.sub(r"\n{3,}", "\n\n", text)


setup(
    long_description=long_description((Path(__file__).parent / "README.md").read_text(encoding="utf-8")),
    long_description_content_type="text/markdown",
)
