"""What users of tfmot rely on, here; tests/tfmot/test_tfmot_parity.py asks tfmot itself for the same."""

import keras
import pytest
import support.tfmot_behaviours
import support.tfmot_behaviours_policies
import support.tfmot_behaviours_training  # noqa: F401  (each notes its behaviours)
from support.pages import DOCS
from support.tfmot_sides import BEHAVIOURS, Side
from support.zoo import BACKEND

from keras_prune import tfmot

pytestmark = [
    pytest.mark.skipif(BACKEND != "tensorflow", reason="tfmot has no other backend"),
    pytest.mark.filterwarnings("ignore:Training ended"),  # of ours: tfmot says nothing
]
GUIDE = " ".join((DOCS / "guides" / "moving-from-tfmot.md").read_text().split())


@pytest.mark.parametrize("name", BEHAVIOURS)
@pytest.mark.filterwarnings("ignore:Less was")
@pytest.mark.filterwarnings("ignore:No layer of")
@pytest.mark.filterwarnings("ignore:Nothing was pruned")
def test_code_of_tfmots_users_runs(name, tmp_path):
    behaviour = BEHAVIOURS[name]
    assert behaviour.run(Side(keras, tfmot, str(tmp_path))) == behaviour.here


def test_differences_stand_in_the_guide():
    missing = {each.guide for each in BEHAVIOURS.values() if each.guide is not None and each.guide not in GUIDE}
    assert missing == set()
