"""One network of each family of `keras.applications`; `make proof` takes all 40 and writes docs/applications.md."""

import pytest
from support.applications import FAMILIES, prove


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_applications(name):
    found = prove(name)
    assert set(found["frozen"].values()) == {"model output"}
    assert found["parameters"][1] < 0.3 * found["parameters"][0]
    assert bool(found["inexact"]) == (name == "ConvNeXtTiny")
    assert all(why.startswith("LayerNormalization") for why in found["inexact"].values())
