import pytest

from hermes_nnunet.errors import HermesError

THORAX = ["left_lung", "right_lung", "heart", "esophagus", "trachea", "spinal_cord"]


class TestStructsegOar:
    def test_is_converted_from_the_tasks_folder_or_the_one_above(self, source, converted):
        # train, val, test
        source.pairs((5, 3, 44), "Thoracic_OAR/{}/data.nii.gz", "Thoracic_OAR/{}/label.nii.gz", range(7))
        # Tumours of the same patients, in files of the same names.
        source.pairs((5, 3, 44), "Lung_GTV/{}/data.nii.gz", "Lung_GTV/{}/label.nii.gz", [0, 1])
        for number, folder in enumerate((source.path, source.path / "Thoracic_OAR"), start=11):
            result = converted("structseg_oar", number, folder)
            assert result.json("splits_final.json") == [{"train": ["Thoracic_OAR_05"], "val": ["Thoracic_OAR_03"]}]
            assert result.names("labelsTs") == ["Thoracic_OAR_44.nii.gz"]
            labels = result.json("dataset.json")["labels"]
            assert labels == {"background": 0, **{name: value for value, name in enumerate(THORAX, start=1)}}

    @pytest.mark.parametrize("inner", ["", "Thoracic_OAR"])
    def test_may_be_uncompressed_in_a_folder_of_the_same_name(self, source, converted, inner):
        image, label = (f"Thoracic_OAR/Thoracic_OAR/{{}}/{name}.nii" for name in ("data", "label"))
        source.pairs((5, 3), image, label, range(7))
        result = converted("structseg_oar", folder=source.path / inner)
        assert result.names("imagesTr") == ["Thoracic_OAR_03_0000.nii.gz", "Thoracic_OAR_05_0000.nii.gz"]

    def test_of_another_tasks_folder_is_refused(self, source, converted):
        source.pairs((5, 3), "Lung_GTV/{}/data.nii.gz", "Lung_GTV/{}/label.nii.gz", [0, 1])
        with pytest.raises(HermesError, match=r"Lung_GTV holds no Thoracic_OAR/1/label\.nii\.gz"):
            converted("structseg_oar", folder=source.path / "Lung_GTV")


class TestStructsegHeadOar:
    def test_has_the_values_of_the_published_label_files(self, source, converted):
        source.pairs((9, 25, 1), "HaN_OAR/{}/data.nii.gz", "HaN_OAR/{}/label.nii.gz", range(23))
        result = converted("structseg_head_oar")
        labels = result.json("dataset.json")["labels"]
        assert len(labels) == 23
        assert {name: labels[name] for name in ("brain_stem", "left_eye", "optic_chiasm", "pituitary")} == {
            "brain_stem": 1,
            "left_eye": 2,
            "optic_chiasm": 8,
            "pituitary": 11,
        }
        assert (labels["spinal_cord"], labels["right_mandible"]) == (20, 22)
        assert result.json("splits_final.json") == [{"train": ["HaN_OAR_09"], "val": ["HaN_OAR_25"]}]
        assert result.names("labelsTs") == ["HaN_OAR_01.nii.gz"]
