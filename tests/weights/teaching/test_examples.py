import shutil

import pytest

from hermes_nnunet.errors import HermesError
from hermes_nnunet.weights.teaching.examples import check_examples, examples_of, find_examples


class TestFinding:
    def test_masks_beside_images(self, write_example, tmp_path):
        write_example("b")
        write_example("a", channels=2)
        first, second = find_examples(tmp_path / "examples")
        assert [path.name for path in first.images] == ["a_0000.nii.gz", "a_0001.nii.gz"]
        assert (first.name, first.mask.name) == ("a", "a_mask.nii.gz")
        assert [path.name for path in second.images] == ["b.nii.gz"]

    def test_a_number_that_the_mask_has_too_is_the_cases(self, write_example, tmp_path):
        write_example("scan_0001")
        write_example("scan_0002")
        examples = find_examples(tmp_path / "examples")
        assert [(one.name, [path.name for path in one.images]) for one in examples] == [
            ("scan_0001", ["scan_0001.nii.gz"]),
            ("scan_0002", ["scan_0002.nii.gz"]),
        ]

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            ("a_seg.nii.gz", r"the mask of a twice \(a_mask.nii.gz, a_seg.nii.gz\): keep one"),
            ("a.nrrd", r"the image of a twice \(a.nii.gz, a.nrrd\): keep one"),
            ("a_0000.nii.gz", r"a.nii.gz and a_0000.nii.gz would both be the image of a_mask.nii.gz: keep one"),
        ],
    )
    def test_two_files_for_one_are_refused(self, write_example, tmp_path, more, message):
        write_example("a")
        (tmp_path / "examples" / more).touch()
        with pytest.raises(HermesError, match=message):
            find_examples(tmp_path / "examples")

    def test_channels_with_a_gap_are_refused(self, write_example, tmp_path):
        write_example("a", channels=2)
        folder = tmp_path / "examples"
        (folder / "a_0001.nii.gz").rename(folder / "a_0002.nii.gz")
        with pytest.raises(HermesError, match=r"channels are 0000 to 0001: add the missing"):
            find_examples(folder)

    def test_an_example_of_links_to_what_is_not_there_is_refused(self, write_example, tmp_path):
        write_example("a")
        for path in write_example("b"):
            path.unlink()
            path.symlink_to("../.git/annex/b")
        examples = find_examples(tmp_path / "examples")
        assert [example.name for example in examples] == ["a", "b"]
        with pytest.raises(HermesError, match=r"b_mask\.nii\.gz is a link to .*, which is not there"):
            check_examples(examples, {"organ": 1}, 1)

    def test_folders_of_nnunet(self, write_example, tmp_path):
        image, mask = write_example("a")
        for folder, path, name in (("imagesTr", image, "a_0000.nii.gz"), ("labelsTr", mask, "a.nii.gz")):
            (tmp_path / "set" / folder).mkdir(parents=True)
            shutil.copy(path, tmp_path / "set" / folder / name)
        (example,) = find_examples(tmp_path / "set")
        assert example.name == "a"
        assert example.images == (tmp_path / "set" / "imagesTr" / "a_0000.nii.gz",)
        assert example.mask == tmp_path / "set" / "labelsTr" / "a.nii.gz"

    def test_pairs_in_python(self, write_example):
        image, mask = write_example("a")
        (example,) = examples_of([(str(image), mask)])
        assert (example.images, example.mask) == ((image,), mask)

    def test_an_image_without_a_mask_is_named(self, write_example, tmp_path):
        write_example("a")
        write_example("b")[1].unlink()
        with pytest.raises(HermesError, match=r"examples: b has no mask: put it beside as b_mask\.nii\.gz, or into"):
            find_examples(tmp_path / "examples")

    def test_a_mask_without_an_image_is_named(self, write_example, tmp_path):
        write_example("a")
        write_example("b")[0].unlink()
        with pytest.raises(HermesError, match=r"b_mask\.nii\.gz has no image beside it"):
            find_examples(tmp_path / "examples")

    def test_a_folder_without_images_is_refused(self, tmp_path):
        with pytest.raises(HermesError, match=r"holds no images"):
            find_examples(tmp_path)
        with pytest.raises(HermesError, match=r"none is not a folder"):
            find_examples(tmp_path / "none")
        with pytest.raises(HermesError, match="no examples were given"):
            examples_of([])


class TestChecking:
    def test_examples_that_fit_pass(self, write_example, tmp_path):
        write_example("a", values=(1, 4))
        check_examples(find_examples(tmp_path / "examples"), {"one": 1, "four": 4}, channels=1)

    @pytest.mark.parametrize(
        ("example", "labels", "channels", "message"),
        [
            ({"values": (1, 3)}, {"x": 1}, 1, r"a_mask\.nii\.gz has the value 3, which no label has \(x=1\)"),
            ({}, {"x": 1, "y": 2}, 1, r"no example has a voxel of y \(value 2\)"),
            ({"mask_spacing": 2}, {"x": 1}, 1, r"a mask must lie on the voxels of its image"),
            ({}, {"x": 1}, 2, r"a\.nii\.gz: the image has 1 channel, the model takes 2"),
        ],
    )
    def test_others_are_refused_in_one_line(self, write_example, tmp_path, example, labels, channels, message):
        write_example("a", **example)
        with pytest.raises(HermesError, match=message) as error:
            check_examples(find_examples(tmp_path / "examples"), labels, channels)
        assert "\n" not in str(error.value)
