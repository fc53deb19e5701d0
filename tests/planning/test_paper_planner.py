import pytest


def configuration_of(plans):
    return plans["configurations"]["3d_fullres"]


class TestPlans:
    @pytest.mark.parametrize(
        ("planner", "name", "network"),
        [
            ("HermesPlannerPaperR", "HermesPaperRPlans", "hermes_nnunet.networks.hermes_resunet.HermesResUNet"),
            ("HermesPlannerPaperM", "HermesPaperMPlans", "hermes_nnunet.networks.hermes_medformer.HermesMedFormer"),
        ],
    )
    def test_patch_batch_and_spacing_are_the_papers(self, planned, planner, name, network):
        plans = planned(planner)
        configuration = configuration_of(plans)
        assert plans["plans_name"] == name
        assert configuration["data_identifier"] == f"{name}_3d_fullres"
        assert (configuration["patch_size"], configuration["batch_size"]) == ([128] * 3, 16)
        assert configuration["spacing"] == [1.5] * 3
        assert plans["hermes"]["intensity_clipping"]["CT"] == {"range": [-991, 500]}
        assert configuration["architecture"]["network_class_name"] == network
        assert configuration["architecture"]["arch_kwargs"] == {"num_modalities": 3, "tokens_per_modality": 10}

    def test_a_memory_target_makes_the_batch_smaller_but_not_below_two(self, planned):
        sizes = [
            configuration_of(planned("HermesPlannerPaperR", gpu_memory_target_in_gb=gigabytes))["batch_size"]
            for gigabytes in (1, 24, 48, 400)
        ]
        assert sizes == sorted(sizes)
        assert sizes[0] == 2
        assert 2 < sizes[1] < 6
        assert sizes[3] == 16

    def test_the_estimate_is_printed(self, planned, capsys):
        planned("HermesPlannerPaperM")
        assert "HermesMedFormer, which should need" in capsys.readouterr().out

    def test_the_most_rows_of_a_case_are_a_members_tasks_and_one_null_row(self, planned):
        assert planned("HermesPlannerPaperR")["hermes"]["rows_per_case"] == 3
