import pytest

from hermes_nnunet.data.conversion import NiftiVolume, files_by_key, nifti_pairs
from hermes_nnunet.errors import HermesError


class TestFilesByKey:
    def test_finds_what_matches_in_full(self, tmp_path):
        for name in ("deep/in/img01.nii.gz", "img02.nii.gz", "img03.nii.gz.md5", "other01.nii.gz"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        found = files_by_key(tmp_path, r"(?:.*/)?img(\d\d)\.nii\.gz")
        assert found == {"01": tmp_path / "deep/in/img01.nii.gz", "02": tmp_path / "img02.nii.gz"}

    def test_passes_over_hidden_files_and_folders(self, tmp_path):
        (tmp_path / "__MACOSX").mkdir()
        (tmp_path / ".trash").mkdir()
        for name in ("._a.nii.gz", "__MACOSX/._a.nii.gz", ".trash/a.nii.gz", "a.nii.gz"):
            (tmp_path / name).touch()
        assert files_by_key(tmp_path, r"(?:.*/)?(?:\._)?(a)\.nii\.gz") == {"a": tmp_path / "a.nii.gz"}

    def test_follows_links_and_keeps_those_to_what_is_not_there(self, tmp_path, tmp_path_factory):
        archive = tmp_path_factory.mktemp("archive")
        (archive / "a.nii.gz").touch()
        (tmp_path / "linked").symlink_to(archive)
        (tmp_path / "b.nii.gz").symlink_to("gone")
        found = files_by_key(tmp_path, r"(?:.*/)?(.)\.nii\.gz")
        assert found == {"a": tmp_path / "linked/a.nii.gz", "b": tmp_path / "b.nii.gz"}

    def test_refuses_a_key_that_stands_twice(self, tmp_path):
        (tmp_path / "a.nii").touch()
        (tmp_path / "a.nii.gz").touch()
        with pytest.raises(HermesError) as error:
            files_by_key(tmp_path, r"(a)\.nii(?:\.gz)?")
        assert str(error.value) == (f"{tmp_path / 'a.nii'} and {tmp_path / 'a.nii.gz'} are both a: remove one of them")


class TestNiftiPairs:
    def test_are_cases_with_what_is_missing(self, tmp_path):
        image, label = tmp_path / "image", tmp_path / "label"
        whole, no_label, no_image = nifti_pairs(
            {"1": image, "2": image}, {"1": label, "3": label}, lambda key: {"name": f"case{key}", "listed_as": key}
        )
        assert (whole.name, whole.listed_as, whole.patient, whole.problems) == ("case1", "1", "case1", ())
        assert (whole.images, whole.label) == ((NiftiVolume(image),), NiftiVolume(label))
        assert no_label.problems == (f"{image} has no label beside it",)
        assert no_image.problems == (f"{label} has no image beside it",)

    def test_have_a_volume_for_each_channel_of_a_file(self, tmp_path):
        (case,) = nifti_pairs({}, {}, lambda key: {"name": key}, unlabelled={"t": tmp_path}, channels=2)
        assert case.images == (NiftiVolume(tmp_path, 0), NiftiVolume(tmp_path, 1))
        assert case.label is None
        assert case.problems == ()
