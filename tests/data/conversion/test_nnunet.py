"""What nnU-Net and the merge say of converted data sets."""

import json

import pytest

from hermes_nnunet.collection import Collection
from hermes_nnunet.data.merge import MemberSpecification, MergeSpecification, merge

SHAPE = (24, 20, 16)


@pytest.fixture
def three_sets(source, converted, affines):
    """Folders of a CT set (oblique), an MR set (LPS) and a T2 set with four dimensions (LPI)."""

    def options(direction):
        return {"affine": affines[direction], "shape": SHAPE}

    source.pairs((1, 32), "bcv/img{:04d}.nii.gz", "bcv/label{:04d}.nii.gz", range(14), **options("oblique"))
    amos = ("amos/imagesTr/amos_{:04d}.nii.gz", "amos/labelsTr/amos_{:04d}.nii.gz")
    source.pairs((553, 518), *amos, range(14), **options("LPS"))
    task = {
        "name": "Prostate",
        "modality": {"0": "T2", "1": "ADC"},
        "labels": {"0": "background", "1": "PZ", "2": "TZ"},
    }
    for case in ("p_1", "p_2"):
        source.image(f"msd/imagesTr/{case}.nii.gz", affines["LPI"], shape=(*SHAPE, 2))
        source.label(f"msd/labelsTr/{case}.nii.gz", range(3), affines["LPI"], shape=SHAPE)
    (source.path / "msd/dataset.json").write_text(json.dumps({**task, "training": []}))
    return [
        converted("bcv", 11, source.path / "bcv").folder,
        converted("amos_mr", 12, source.path / "amos", link=True).folder,
        converted("msd_prostate", 13, source.path / "msd", channels=["T2"]).folder,
    ]


class TestConvertedSets:
    def test_merge_with_their_own_folds(self, three_sets):
        members = (MemberSpecification(11, "CT"), MemberSpecification(12, "MRI"), MemberSpecification(13, "T2"))
        result = merge(MergeSpecification(name="All", into=900, members=members), processes=1)
        assert result.collection.modalities == ("CT", "MRI", "T2", "unknown")
        assert result.fold_origins == {"BCV": "raw", "AMOS_MR": "raw", "MSD_Prostate": "raw"}
        assert sorted(result.folds[0]["val"]) == ["AMOS_MR__amos_0518", "BCV__img0032", result.folds[0]["val"][-1]]
        assert len(result.collection.tasks) == 28

    @pytest.mark.end_to_end
    def test_are_accepted_merged_and_planned_by_nnunet(self, three_sets, tmp_path):
        from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
        from nnunetv2.experiment_planning.experiment_planners.hermes.hermes_planner import HermesPlannerS
        from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprint_dataset
        from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity

        for folder in three_sets:
            verify_dataset_integrity(str(folder), 1)
        members = (MemberSpecification(11, "CT"), MemberSpecification(12, "MRI"), MemberSpecification(13, "T2"))
        folder = merge(MergeSpecification(name="All", into=900, members=members), processes=1).folder
        extract_fingerprint_dataset(900, DatasetFingerprintExtractor, 1, True, True, False)
        HermesPlannerS(900).plan_experiment()
        (plans,) = (tmp_path / "preprocessed" / folder.name).glob("*Plans.json")
        configuration = json.loads(plans.read_text())["configurations"]["3d_fullres"]
        assert len(configuration["patch_size"]) == 3
        collection = Collection.from_dataset_json(json.loads((folder / "dataset.json").read_text()), "test")
        assert len(collection.cases) == 6
