"""Plans, pages, journals and caches on the disk: what appears at their path while they are made is kept."""

import pytest

from keras_prune import storage
from keras_prune.automation import journal as journals
from keras_prune.channels import ChannelPlan
from keras_prune.insight.explain.explanation import Explanation
from keras_prune.layers import LayerPlan
from keras_prune.measurement import measured_file as cache
from keras_prune.reading.json_files import read_plan

pytestmark = pytest.mark.core


@pytest.mark.parametrize("plan", [ChannelPlan("mark", {"stem": (1, 2)}), LayerPlan("mark", ("block",))])
def test_plans_are_replaced_as_keras_models_are(plan, tmp_path):
    path = tmp_path / "plan.json"
    path.write_text("mine")
    with pytest.raises(ValueError, match=r"A file has appeared .* Received: '.*plan.json'"):
        plan.save(path, overwrite=False)
    assert path.read_text() == "mine"
    plan.save(path)
    assert type(plan).load(path) == plan
    assert [file.name for file in tmp_path.iterdir()] == ["plan.json"]


def test_a_page_that_appears_is_kept(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    monkeypatch.setattr(Explanation, "to_html", lambda self: path.write_text("mine") and "<html>")
    explanation = Explanation("model", "weights", "", (), ())
    with pytest.raises(ValueError, match="A file has appeared"):
        explanation.save_html(path)
    assert path.read_text() == "mine"
    explanation.save_html(path, overwrite=True)
    assert path.read_text() == "<html>"


def test_of_two_searches_that_begin_at_once_in_one_folder_one_is_refused(tmp_path, monkeypatch):
    make = journals.make_folder

    def other_is_first(folder):
        make(folder)
        storage.write_plan(folder / "journal.json", {"fingerprint": "other"})

    monkeypatch.setattr(journals, "make_folder", other_is_first)
    with pytest.raises(ValueError, match=r"A file has appeared .*journal.json"):
        journals.Journal(tmp_path, "mark", "accuracy", True)
    assert read_plan(tmp_path / "journal.json", "fingerprint", str)[0] == "other"


def test_a_cache_that_appears_is_kept(tmp_path, monkeypatch):
    path, write = tmp_path / "cache.json", cache.write_plan

    def other_is_first(*words, **settings):
        path.write_text("mine")
        write(*words, **settings)

    monkeypatch.setattr(cache, "write_plan", other_is_first)
    with pytest.raises(ValueError, match="A file has appeared"):
        cache.MeasuredFile(path, "mark")
    assert path.read_text() == "mine"
