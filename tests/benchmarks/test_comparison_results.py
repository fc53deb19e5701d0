"""What the comparison makes of its trainings: scores, rows, tables, questions."""

import json
import math

import numpy as np
import pytest


def box(*corner, size=4, shape=(16, 16, 16)):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(start, start + size) for start in corner)] = True
    return mask


class TestScores:
    def test_dice(self):
        from comparison.scoring import dice

        assert dice(box(0, 0, 0), box(0, 0, 2)) == pytest.approx(0.5)
        assert math.isnan(dice(box(0, 0, 0, size=0), box(0, 0, 0, size=0)))

    def test_hd95_of_a_shift_is_the_shift_in_mm(self):
        from comparison.scoring import hd95

        assert hd95(box(0, 0, 0), box(0, 0, 0), (1, 1, 1)) == 0
        assert hd95(box(2, 2, 2), box(2, 2, 5), (1, 1, 2.5)) == pytest.approx(7.5)

    def test_hd95_ignores_a_few_far_voxels_but_not_many(self):
        from comparison.scoring import hd95

        few, many = box(0, 0, 0, size=6), box(0, 0, 0, size=6)
        few[15, 15, 15] = True
        many[12:, 12:, 12:] = True
        true = box(0, 0, 0, size=6)
        assert hd95(few, true, (1, 1, 1)) == 0
        assert hd95(many, true, (1, 1, 1)) > 10

    def test_hd95_of_nothing_found_is_the_diagonal_and_of_nothing_there_undefined(self):
        from comparison.scoring import hd95

        nothing = box(0, 0, 0, size=0)
        assert hd95(nothing, box(0, 0, 0), (3, 4, 0)) == pytest.approx(16 * 5)
        assert math.isnan(hd95(box(0, 0, 0), nothing, (1, 1, 1)))

    def test_tasks_count_alike_however_many_cases(self):
        from comparison.scoring import Score, by_member

        scores = [Score("a", "1", "x", 1.0, 0), Score("a", "2", "x", 0.5, 2), Score("a", "1", "y", 0.25, 3)]
        members = by_member([*scores, Score("b", "1", "z", 0.0, 10)])
        assert members == {"a": (0.5, 2.0), "b": (0.0, 10.0)}


class TestResult:
    def test_its_folder_is_there_before_the_first_training(self, tmp_path, monkeypatch):
        import accuracy

        class Workplace:
            def __init__(self, *_):
                pass

            def link_members(self, _):
                raise KeyboardInterrupt

        monkeypatch.setattr(accuracy, "Workplace", Workplace)
        results = tmp_path / "new" / "results"
        with pytest.raises(KeyboardInterrupt):
            accuracy.main([str(tmp_path), str(tmp_path / "work"), "--results", str(results)])
        assert results.is_dir()

    def test_says_what_the_network_of_the_run_was(self, tmp_path, monkeypatch):
        from comparison import data
        from comparison.arms import arm

        monkeypatch.setattr(data, "find_commands", lambda names, _: dict.fromkeys(names, "true"))
        (tmp_path / "nnUNet_preprocessed" / "Dataset900_Real900").mkdir(parents=True)
        workplace = data.Workplace(tmp_path, tmp_path)
        (training,) = arm("hermes", batches=20)
        model = training.fold_folder(workplace).parent
        model.mkdir(parents=True)
        planned = {"patch_size": [40, 40, 40], "batch_size": 2, "spacing": [3, 3, 3], "normalization_schemes": ["Z"]}
        export = {"interpolate_probabilities": True}
        network = {"features_per_stage": [16, 32], "n_blocks_per_stage": [1, 2], "modality_norms": True}
        architecture = {"network_class_name": "a.Network", "arch_kwargs": {**network, "n_stages": 2}}
        clipping = {"CT": {"range": [-125, 1590]}}
        plans = {
            "hermes": {"intensity_clipping": clipping, "rows_per_case": 3},
            "configurations": {
                "3d_fullres": {**planned, "resampling_fn_probabilities_kwargs": export, "architecture": architecture}
            },
        }
        (model / "plans.json").write_text(json.dumps(plans))
        told = training.configuration(workplace)
        assert told == {**planned, "export": export, "intensity_clipping": clipping, "network": "a.Network", **network}

    def test_a_row_takes_the_place_of_its_like(self, tmp_path):
        from comparison.rows import add_row, read_rows

        def row(arm, fold, dice):
            tasks = {"x": {"dice": dice, "hd95_mm": 1.0}}
            return {"arm": arm, "batches_per_member": 10, "fold": fold, "seed": 0, "members": {"a": tasks}}

        path = tmp_path / "accuracy.json"
        for new in (row("hermes", 0, 0.1), row("hermes", 1, 0.2), row("masked", 0, 0.3), row("hermes", 0, 0.4)):
            add_row(path, new, "Is it?\n\nMore.")
        assert json.loads(path.read_text())["question"] == "Is it?"
        rows = read_rows(path)
        assert [(r["fold"], r["arm"], r["members"]["a"]["x"]["dice"]) for r in rows] == [
            (0, "hermes", 0.4),
            (0, "masked", 0.3),
            (1, "hermes", 0.2),
        ]


class TestSeeds:
    @pytest.fixture
    def rows(self):
        def row(arm, seed, of_a, of_b, fold=0):
            members = {
                "a": {"x": {"dice": of_a, "hd95_mm": 10.0}, "y": {"dice": of_a + 0.1, "hd95_mm": 20.0}},
                "b": {"z": {"dice": of_b, "hd95_mm": 5.0}},
            }
            return {"arm": arm, "batches_per_member": 10, "fold": fold, "seed": seed, "members": members}

        return [
            row("hermes", 0, 0.2, 0.45),
            row("hermes", 1, 0.4, 0.65),
            row("masked", 0, 0, 0),
            row("hermes", 0, 1, 1, 1),
        ]

    def test_means_of_rows_and_of_members(self, rows):
        from comparison.tables import over_seeds

        means, members = over_seeds(rows[:2])
        assert means == [pytest.approx((0.35, 10)), pytest.approx((0.55, 10))]
        assert members == {"a": pytest.approx((0.35, 15)), "b": pytest.approx((0.55, 5))}

    def test_only_arms_with_several_seeds_of_a_fold_are_shown(self, rows, capsys):
        from comparison.tables import show_seeds

        show_seeds(rows)
        (line,) = [line for line in capsys.readouterr().out.splitlines() if "hermes" in line]
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        assert cells == [
            "3 mm",
            "10",
            "0",
            "hermes",
            "2",
            "0.450 (10.0)",
            "0.350",
            "0.550",
            "0.350 (15.0)",
            "0.550 (5.0)",
        ]
        show_seeds(rows[1:])
        assert capsys.readouterr().out == ""


class TestQuestions:
    def test_are_asked_of_the_planners_range_of_ct_only(self, tmp_path, capsys):
        import accuracy

        with pytest.raises(SystemExit):
            accuracy.main([str(tmp_path), str(tmp_path / "work"), "--ct", "paper", "--questions", "synergy"])
        assert "--questions are asked of --ct labelled only" in capsys.readouterr().err
        assert not (tmp_path / "work").exists()

    def test_training_with_less_of_a_member_uses_the_fold_made_for_it(self):
        from comparison.arms import arm, left_out
        from comparison.running import Conditions
        from comparison.splits import Reduction

        reductions = [Reduction("a", 0), Reduction("b", 4)]
        without, few, other_seed = (
            left_out(reductions, reduction, Conditions(100, seed, "cpu"))
            for reduction, seed in ((reductions[0], 0), (reductions[1], 0), (reductions[1], 1))
        )
        (hermes,) = arm("hermes", batches=100)
        assert (without.fold, few.fold) == (3, 4)
        assert (without.recipe.batches, few.recipe.batches) == (300, hermes.recipe.batches)
        assert (few.recipe.seed, other_seed.recipe.seed) == (0, 1)
        assert len({without.name, few.name, other_seed.name, hermes.name}) == 4

    def test_what_a_member_gains_by_another(self):
        from comparison.questions import gains

        dice = {"all": {"a": 0.7, "b": 0.5}, "a": {"b": 0.4}, "b": {"a": 0.8}}
        np.testing.assert_allclose(gains(dice, ["a", "b"]), [[np.nan, 0.1], [-0.1, np.nan]])

    def test_results_of_other_seeds_stay_those_of_another_size_do_not(self, tmp_path):
        from comparison.questions import add_seed
        from comparison.running import Conditions

        path = tmp_path / "few_labels.json"
        for seed, dice in ((1, 0.1), (0, 0.2), (1, 0.3)):
            seeds = add_seed(path, "?", Conditions(10, seed, "cpu"), {"hermes": dice})
        assert json.loads(path.read_text())["seeds"] == {"0": {"hermes": 0.2}, "1": {"hermes": 0.3}}
        assert sorted(own["hermes"] for own in seeds) == [0.2, 0.3]
        assert add_seed(path, "?", Conditions(20, 0, "cpu"), {"hermes": 0.4}) == [{"hermes": 0.4}]

    def test_a_gain_that_rounds_to_nothing_has_no_minus(self):
        from comparison.questions import _signed

        assert [_signed(gain) for gain in (-0.0004, 0.0004, -0.0006)] == ["+0.000", "+0.000", "-0.001"]

    @pytest.mark.parametrize("seeds", [1, 2])
    def test_pictures_are_drawn(self, tmp_path, seeds):
        from comparison import questions
        from matplotlib.image import imread

        change = np.array([[[np.nan, 0.1], [-0.05, np.nan]]] * seeds)
        questions._draw_synergy(change, ["a", "b"], tmp_path / "synergy.png")
        dice = {"single": {"4": 0.2, "8": 0.4, "all": 0.6}, "hermes": {"4": 0.5, "8": 0.55, "all": 0.6}}
        questions._draw_few_labels([dice] * seeds, tmp_path / "few.png")
        for name in ("synergy", "few"):
            picture = imread(tmp_path / f"{name}.png")
            assert picture.shape[0] > 300
            assert picture.std() > 0.01
