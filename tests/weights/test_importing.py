import json

import pytest
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from hermes_nnunet.errors import HermesError
from hermes_nnunet.networks.build import build_network
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.voxel_orders import turn_of
from hermes_nnunet.weights.importing import import_weights
from hermes_nnunet.weights.released_names import our_name


def read(path):
    return json.loads(path.read_text())


def network_of(folder):
    plans = PlansManager(read(folder / "plans.json"))
    outputs = len(read(folder / "dataset.json")["labels"]) - 1
    return build_network(plans, plans.get_configuration("3d_fullres"), 1, outputs, enable_deep_supervision=False)


def weights_of(folder):
    return torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=True)["network_weights"]


def change(path, edit):
    content = torch.load(path, weights_only=True)
    edit(content["model_state_dict"])
    torch.save(content, path)


@pytest.fixture
def imported(released, results, members_file):
    return import_weights(released, into=910, name="Ours", results=results, members_file=members_file)


class TestWithMembers:
    def test_the_universal_model_knows_every_task_and_member(self, imported, results, topology):
        plans_name = f"HermesPaper{topology.upper()}Plans"
        assert imported.folder == results / "Dataset910_Ours" / f"HermesTrainerPaper__{plans_name}__3d_fullres"
        plans = HermesPlans.from_plans(read(imported.folder / "plans.json"))
        assert plans.tasks == ("abdomen/liver", "abdomen/spleen", "abdomen/aorta", "heart/left", "heart/right")
        assert plans.modalities == ("CT", "T1", "unknown")
        assert plans.rows_per_case == 4
        assert imported.notices[1:] == [
            "rows_per_case 4 of the members' file: cases are no longer padded to it, but run with their tasks and one "
            "null row, as the release evaluates"
        ]
        assert read(imported.folder / "dataset.json")["labels"] == {
            "background": 0,
            **{task: value for value, task in enumerate(plans.tasks, start=1)},
        }

    def test_every_member_has_a_view_with_its_labels_and_context(self, imported, results):
        view = results / "Dataset912_AbdomenMR" / imported.folder.name
        assert read(view / "dataset.json")["labels"] == {"background": 0, "aorta": 1, "liver": 2}
        context = HermesPlans.from_plans(read(view / "plans.json")).context
        assert (context.tasks, context.modality) == (("abdomen/aorta", "abdomen/liver"), "T1")
        assert (view / "fold_0" / "checkpoint_final.pth").samefile(imported.folder / "fold_0" / "checkpoint_final.pth")

    def test_rows_that_no_task_takes_are_left_out_and_said(self, imported, released, network_class, names):
        pool = next(name for name in names if name.endswith("task_prior"))
        theirs = torch.load(released, weights_only=True)["model_state_dict"][pool]
        ours = weights_of(imported.folder)[our_name(pool, network_class)]
        assert torch.equal(ours, theirs[[0, 1, 2, 3, 4, 6]])
        assert imported.unused_rows == (5,)

    def test_a_data_set_that_is_there_keeps_its_id(self, released, results, members_file, tmp_path):
        (tmp_path / "raw" / "Dataset033_AbdomenMR").mkdir(parents=True)
        (tmp_path / "raw" / "Dataset911_Other").mkdir()
        import_weights(
            released,
            into=910,
            name="Ours",
            results=results,
            data_folders=(tmp_path / "raw",),
            members_file=members_file,
        )
        assert sorted(path.name for path in results.iterdir()) == [
            "Dataset033_AbdomenMR",
            "Dataset910_Ours",
            "Dataset912_abdomen",
            "Dataset913_heart",
        ]

    def test_importing_again_writes_the_same_folders(self, imported, released, results, members_file):
        before = sorted(path.name for path in results.iterdir())
        import_weights(released, into=910, name="Ours", results=results, members_file=members_file, averaged=True)
        assert sorted(path.name for path in results.iterdir()) == before
        assert weights_of(imported.folder)["stem.0.weight"].mean() > 0.5


class TestSecondImport:
    def test_leaves_the_views_of_the_first_alone_unless_told_otherwise(self, imported, released, results, members_file):
        again = {"results": results, "members_file": members_file, "averaged": True}
        second = import_weights(released, into=950, name="Theirs", **again)
        view = results / "Dataset911_abdomen" / imported.folder.name
        assert all("is a view of Dataset910_Ours and is left alone" in line for line in second.views)
        first = weights_of(imported.folder)["stem.0.weight"]
        assert torch.equal(weights_of(view)["stem.0.weight"], first)
        import_weights(released, into=950, name="Theirs", replace_views=True, **again)
        assert torch.equal(weights_of(view)["stem.0.weight"], first + 1)


class TestWithoutMembers:
    def test_other_rows_than_the_papers_give_tasks_by_number_and_no_views(self, released, results):
        result = import_weights(released, into=910, name="Tiny", results=results)
        plans = HermesPlans.from_plans(read(result.folder / "plans.json"))
        assert plans.tasks == tuple(f"task_{row}" for row in range(6))
        assert plans.modalities == ("modality_0", "modality_1", "unknown")
        assert plans.rows_per_case == 7
        assert [path.name for path in results.iterdir()] == ["Dataset910_Tiny"]

    def test_the_papers_rows_give_the_papers_members(self, results, tmp_path, make_released, topology, capsys):
        path = make_released(topology, tmp_path / "large.pth", task_rows=72, num_modalities=6)
        result = import_weights(path, into=910, name="Hermes", results=results)
        collection = result.identity.collection
        assert len(collection.tasks) == 71
        assert list(collection.members) == [
            "lits", "kits", "amos_ct", "amos_mr", "bcv", "structseg_oar", "chaos", "structseg_head_oar", "mnm",
            "brain_structure", "autopet",
        ]  # fmt: skip
        assert [len(member.tasks) for member in collection.members.values()] == [2, 2, 15, 13, 13, 6, 4, 22, 3, 3, 1]
        assert len(result.views) == 11
        orders = read(result.folder / "hermes_import.json")["voxel_orders"]
        assert {name: order for name, order in orders.items() if order != "LPS"} == {
            "kits": "SPR", "bcv": "LAS", "autopet": "LAS",
        }  # fmt: skip
        for dataset, order, tasks in (("KiTS19", "SPR", 2), ("BCV", "LAS", 13), ("LiTS", "LPS", 2)):
            (view,) = results.glob(f"Dataset*_{dataset}/{result.folder.name}")
            context = network_of(view).context
            assert context.turn == turn_of(order)
            assert (context.task_index >= 0).tolist() == [[True] * tasks + [False]]
        universal = network_of(result.folder).context
        assert universal.turn == turn_of("LPS")
        assert universal.task_index.tolist() == [[*range(71), -1]]
        assert (
            "voxel order LPS, but was trained on those of some members in others (kits SPR" in capsys.readouterr().out
        )

    def test_one_order_can_be_given_for_all_members(self, results, tmp_path, make_released, topology):
        path = make_released(topology, tmp_path / "large.pth", task_rows=72, num_modalities=6)
        result = import_weights(path, into=910, name="Hermes", results=results, voxel_order="RAS")
        assert set(result.voxel_orders.values()) == {"RAS"}
        assert "voxel_order" not in read(result.folder / "plans.json")["hermes"]


class TestRefusals:
    def test_a_voxel_order_that_is_none_is_refused(self, released, results):
        with pytest.raises(HermesError, match="voxel order 'XPS'"):
            import_weights(released, into=910, name="Ours", results=results, voxel_order="XPS")
        assert list(results.iterdir()) == []

    def test_a_missing_tensor_is_named_and_nothing_is_written(self, released, results):
        change(released, lambda weights: weights.pop("inc.conv2.conv1.conv.weight"))
        with pytest.raises(HermesError, match=r"not complete: .* also has stem\.1\.units\.0\.conv\.weight"):
            import_weights(released, into=910, name="Ours", results=results)
        assert list(results.iterdir()) == []

    def test_a_tensor_that_is_left_over_is_named(self, released, results):
        change(released, lambda weights: weights.update({"extra.weight": torch.ones(1)}))
        with pytest.raises(HermesError, match=r"no place for extra\.weight: the checkpoint is of another topology"):
            import_weights(released, into=910, name="Ours", results=results)

    def test_a_tensor_of_another_shape_is_named(self, released, results):
        change(released, lambda weights: weights.update({"mod_out.norm.weight": torch.ones(3)}))
        with pytest.raises(HermesError, match=r"mod_out\.norm\.weight is \(3,\), .* needs \(136,\)"):
            import_weights(released, into=910, name="Ours", results=results)

    def test_another_network_is_told(self, tmp_path, results):
        torch.save({"model_state_dict": {"encoder.weight": torch.ones(1)}}, tmp_path / "other.pth")
        with pytest.raises(HermesError, match=r"neither Hermes-R nor Hermes-M \(it has encoder\.weight\)"):
            import_weights(tmp_path / "other.pth", into=910, name="Ours", results=results)

    def test_members_that_need_more_rows_are_refused(self, released, results, members_file):
        members_file.write_text(members_file.read_text().replace("[left, right]", "[left, right, third, fourth]"))
        with pytest.raises(HermesError, match="6 rows of tasks, the members need 7"):
            import_weights(released, into=910, name="Ours", results=results, members_file=members_file)

    def test_an_id_that_is_taken_is_refused(self, released, results):
        (results / "Dataset910_Heart").mkdir()
        with pytest.raises(HermesError, match="Dataset910_Heart has this id"):
            import_weights(released, into=910, name="Ours", results=results)

    def test_a_trained_model_is_not_overwritten(self, released, results, topology):
        trained = results / "Dataset910_Ours" / f"HermesTrainerPaper__HermesPaper{topology.upper()}Plans__3d_fullres"
        trained.mkdir(parents=True)
        (trained / "plans.json").write_text("{}")
        with pytest.raises(HermesError, match="is a trained model"):
            import_weights(released, into=910, name="Ours", results=results)
