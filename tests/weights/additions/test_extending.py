"""Extending a base: the collection, its plans, and what is refused."""

import json

import numpy as np
import pytest
import torch

from hermes_nnunet.core.files import read_json
from hermes_nnunet.errors import HermesError
from hermes_nnunet.planning.modality.features import FEATURES
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.weights.additions.adding import add
from hermes_nnunet.weights.additions.base import read_fold
from hermes_nnunet.weights.additions.file import Addition


class TestPlans:
    def test_are_the_bases_for_other_tasks(self, base, extended, new_member, plans):
        new_member(305, ("a", "b"))
        result = extended("305:T2")
        made = read_json(result.plans, "")
        own, of_base = made["configurations"]["3d_fullres"], plans["configurations"]["3d_fullres"]
        for key in of_base:
            if key != "architecture":
                assert own[key] == of_base[key]
        arguments = own["architecture"]["arch_kwargs"]
        assert arguments["adapter_ranks"] == [4]
        assert (arguments["num_modalities"], arguments["rows_per_case"]) == (2, 2)
        block = HermesPlans.from_plans(made)
        assert block.tasks == ("New305/a", "New305/b")
        assert block.modalities == ("T2", "unknown")
        assert block.additions[0].new_modalities == ("T2",)
        assert block.base.weights == read_fold(base, 0).base_hash
        assert block.intensity_clipping == HermesPlans.from_plans(plans).intensity_clipping

    def test_keep_the_rule_of_a_known_modality(self, extended, new_member, plans, base):
        new_member(305)
        result = extended("305:CT")
        block = HermesPlans.from_plans(read_json(result.plans, ""))
        assert block.additions[0].new_modalities == ()
        assert block.intensity_clipping["CT"] == HermesPlans.from_plans(plans).intensity_clipping["CT"]

    def test_say_what_the_images_look_like(self, extended, new_member):
        new_member(305)
        looks = HermesPlans.from_plans(read_json(extended("305:T2").plans, "")).additions[0].looks
        assert looks.features == FEATURES
        (look,) = looks.of_modalities
        assert (look.member, look.modality) == ("New305", "T2")
        means = dict(zip(FEATURES, look.mean, strict=True))
        assert means["log_spacing_y"] == pytest.approx(np.log(1.5), abs=1e-6)
        assert means["log_extent_z"] == pytest.approx(np.log(20 * 1.5), abs=1e-6)

    def test_have_the_planners_rule_for_a_new_modality(self, extended, new_member, base):
        """CT, by what is labelled; the base has another modality in its place."""
        for name in ("plans.json", "dataset.json"):
            (base / name).write_text((base / name).read_text().replace('"CT"', '"PET"'))
        new_member(305)
        block = HermesPlans.from_plans(read_json(extended("305:CT").plans, ""))
        rule = block.intensity_clipping["CT"]
        assert rule["range"][0] < rule["mean"] == 3 < rule["range"][1]  # of noise around 3
        assert rule["std"] == 1

    def test_lie_where_nnunet_looks(self, extended, new_member, folders):
        new_member(305)
        extended("305:T2")
        folder = folders / "preprocessed" / "Dataset901_More901"
        assert {path.name for path in folder.iterdir()} == {
            "HermesPlans.json",
            "dataset.json",
            "dataset_fingerprint.json",
            "splits_final.json",
        }

    def test_of_a_model_with_additions_are_for_its_base(self, base, extended, addition, new_member, folders, tmp_path):
        addition().save(tmp_path / "a.hermes")
        grown = add([tmp_path / "a.hermes"], base, results=folders / "results", into=902).folder
        new_member(306)
        result = extended("306:T2", into=903, base=grown)
        block = HermesPlans.from_plans(read_json(result.plans, ""))
        assert block.base.weights == read_fold(base, 0).base_hash
        assert block.additions[0].new_modalities == ("T2",)

    def test_take_over_the_rule_of_a_modality_that_an_addition_has_brought(
        self, base, extended, addition, new_member, folders, tmp_path
    ):
        """One model has one rule for a modality; the planner would make another of these images."""
        for name in ("plans.json", "dataset.json"):
            (base / name).write_text((base / name).read_text().replace('"CT"', '"PET"'))
        addition("305:CT").save(tmp_path / "a.hermes")
        grown = add([tmp_path / "a.hermes"], base, results=folders / "results", into=902).folder
        new_member(306, scale=7)
        block = HermesPlans.from_plans(read_json(extended("306:CT", into=903, base=grown).plans, ""))
        assert block.additions[0].new_modalities == ("CT",)
        assert block.intensity_clipping["CT"] == Addition.load(tmp_path / "a.hermes").header.intensity_clipping["CT"]

    @pytest.mark.parametrize(("word", "order"), [("305:CT", "LPS"), ("305:T1", "RAS"), ("305:T2", "LPS")])
    def test_let_the_network_see_images_as_the_base_does(self, base_in_lps, extended, new_member, word, order):
        new_member(305)
        block = HermesPlans.from_plans(read_json(extended(word).plans, ""))
        assert (block.voxel_order, block.of_member("New305").voxel_order) == (order, order)

    def test_are_for_a_base_without_members(self, base, extended, new_member):
        """As weights have it that were imported without the table of their members."""
        for name in ("plans.json", "dataset.json"):
            content = read_json(base / name, "")
            content["hermes"] |= {"members": {}, **({"rows_per_case": 5} if name == "plans.json" else {"cases": {}})}
            (base / name).write_text(json.dumps(content))
        new_member(305)
        block = HermesPlans.from_plans(read_json(extended("305:CT").plans, ""))
        assert (block.tasks, list(block.members)) == (("New305/gallbladder",), ["New305"])

    def test_twice_is_the_same(self, extended, new_member):
        new_member(305)
        first = extended("305:T2")
        before = first.plans.read_text()
        assert extended("305:T2").merged.is_up_to_date
        assert first.plans.read_text() == before

    def test_half_a_fingerprint_is_written_again(self, extended, new_member, folders):
        new_member(305)
        extended("305:T2")
        fingerprint = folders / "preprocessed" / "Dataset901_More901" / "dataset_fingerprint.json"
        fingerprint.write_text('{"spacings": [[1.5')
        assert extended("305:T2").merged.is_up_to_date
        assert fingerprint.read_text() == "{}"

    def test_a_link_in_the_fingerprints_place_is_not_followed(self, extended, new_member, folders, tmp_path):
        new_member(305)
        (tmp_path / "mine.json").write_text("mine")
        folder = folders / "preprocessed" / "Dataset901_More901"
        folder.mkdir()
        (folder / "dataset_fingerprint.json").symlink_to(tmp_path / "mine.json")
        extended("305:T2")
        assert (folder / "dataset_fingerprint.json").read_text() == "{}"
        assert (tmp_path / "mine.json").read_text() == "mine"

    def test_dry_run_writes_nothing(self, extended, new_member, folders):
        new_member(305)
        extended("305:T2", dry_run=True)
        assert [path.name for path in (folders / "raw").iterdir()] == ["Dataset305_New305"]
        assert not list((folders / "preprocessed").iterdir())


class TestBadInput:
    @pytest.fixture(autouse=True)
    def nothing_is_written(self, folders):
        yield
        assert not list((folders / "preprocessed").iterdir())
        assert not list((folders / "raw").glob("Dataset901*"))

    def test_base_that_is_not_trained_to_its_end(self, base, extended, new_member):
        new_member(305)
        (base / "fold_1" / "checkpoint_final.pth").unlink()
        with pytest.raises(HermesError, match=r"no checkpoint_final.pth in fold_1: train the base to its end"):
            extended("305:T2", fold=1)

    def test_ct_in_another_channel_than_the_bases(self, base, extended, new_member):
        content = read_json(base / "plans.json", "")
        content["hermes"]["intensity_clipping"]["CT"] = {"range": [0, 1], "channels": [0]}
        (base / "plans.json").write_text(json.dumps(content))
        for path, names in ((base, ("image_0", "image_1")), (new_member(305, channels=2), ("PET", "CT"))):
            content = read_json(path / "dataset.json", "")
            content["channel_names"] = dict(zip("01", names, strict=True))
            (path / "dataset.json").write_text(json.dumps(content))
        with pytest.raises(HermesError, match="takes channel 0 of its CT images for CT, of data set 305 other"):
            extended("305:CT")

    def test_fewer_channels_than_the_base(self, base, extended, new_member):
        new_member(305, channels=2)
        with pytest.raises(HermesError, match="305 has 2 channels, the base takes 1"):
            extended("305:T2")

    def test_member_that_the_base_has(self, extended, new_member):
        new_member(305)
        with pytest.raises(HermesError, match="already has a member 'abdomen'"):
            extended("305:T2", name="abdomen")

    def test_member_of_whose_images_the_base_has_no_labels(self, extended, new_member, images):
        new_member(305)
        with pytest.raises(HermesError, match=f"already has a member '{images}'"):
            extended("305:T2", name=images)

    def test_task_that_the_base_has(self, extended, new_member, base):
        plans = read_json(base / "plans.json", "")
        text = (base / "plans.json").read_text().replace("abdomen/liver", "New305/gallbladder")
        (base / "plans.json").write_text(text)
        (base / "dataset.json").write_text(
            (base / "dataset.json").read_text().replace("abdomen/liver", "New305/gallbladder")
        )
        assert plans["hermes"]["tasks"][0] == "abdomen/liver"
        new_member(305)
        with pytest.raises(HermesError, match="already has the task New305/gallbladder"):
            extended("305:T2")

    def test_data_set_of_the_base(self, extended, new_member, folders):
        new_member(305).rename(folders / "raw" / "Dataset011_abdomen")
        with pytest.raises(HermesError, match="has Dataset011_abdomen as its member 'abdomen'"):
            extended("11:T2", name="other")

    def test_modality_that_the_base_writes_otherwise(self, base, extended, new_member):
        for name in ("plans.json", "dataset.json"):
            (base / name).write_text((base / name).read_text().replace('"CT"', '"ct"'))
        new_member(305)
        with pytest.raises(HermesError, match=r"modality CT of New305 \(did you mean 'ct'\?\): the base knows ct, T1"):
            extended("305:CT")

    def test_id_of_the_base(self, extended, new_member):
        new_member(305)
        with pytest.raises(HermesError, match="--into 900 is the base's own id"):
            extended("305:T2", into=900)

    def test_rank(self, extended, new_member):
        new_member(305)
        with pytest.raises(HermesError, match="rank 0 of the adapters"):
            extended("305:T2", rank=0)

    def test_view_as_base(self, base, extended, new_member, folders):
        from hermes_nnunet.prediction.views.write import write_views

        write_views(base, folders / "results", [0])
        new_member(305)
        with pytest.raises(HermesError, match="is the model folder of one member"):
            extended("305:T2", base=folders / "results" / "Dataset011_abdomen" / base.name)


@pytest.mark.parametrize(
    ("number", "name", "message"),
    [
        (
            306,
            "New305",
            "the base has an addition 'New305': take it out with 'hermes_nnunet add -m .* --without New305'",
        ),
        (305, "other", "the base has Dataset305_New305 as its member 'New305'"),
    ],
)
def test_what_an_addition_has_brought_is_refused_too(
    extended, base, addition, new_member, folders, tmp_path, number, name, message
):
    """The universal model that comes of the training could not have both, which would be told after the training."""
    addition("305:T2").save(tmp_path / "a.hermes")
    grown = add([tmp_path / "a.hermes"], base, results=folders / "results", into=902).folder
    if number != 305:
        new_member(number)
    with pytest.raises(HermesError, match=message):
        extended(f"{number}:T2", into=903, base=grown, name=name)
    assert not list((folders / "raw").glob("Dataset903*"))


def test_hash_tells_a_changed_weight(base):
    fold = read_fold(base, 0)
    before = fold.base_hash
    changed = {name: tensor.clone() for name, tensor in fold.base.items()}
    name = next(iter(changed))
    changed[name].view(torch.int32).reshape(-1)[0] ^= 1  # the last bit
    from hermes_nnunet.weights.additions.base import hash_of_weights

    assert hash_of_weights(changed) != before
    assert hash_of_weights(dict(reversed(fold.base.items()))) == before
