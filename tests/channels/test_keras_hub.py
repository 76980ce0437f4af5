"""One family of each kind of KerasHub; `make proof-hub` takes all and writes docs/keras-hub.md."""

import importlib.util

import pytest
from networks.hub import HEAD, IN_SUITE
from support.hub_proof import prove

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("keras_hub") is None,
    reason="KerasHub is not installed: it brings the whole TensorFlow, see `make proof-hub`",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_SUITE)
def test_families(name):
    found = prove(name)
    assert found["parameters"][1] < 0.4 * found["parameters"][0]
    assert found["change"] > 1e-4
    assert found["proved"] > 0.1 * found["parameters"][0]
    assert found["frozen"][HEAD] == "model output"
