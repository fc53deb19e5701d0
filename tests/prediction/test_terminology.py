import pytest

from hermes_nnunet.prediction.terminology import structure_of


@pytest.mark.parametrize(
    ("task", "code", "side"),
    [
        ("abdomen/liver", "10200004", None),
        ("Spleen", "78961009", None),
        ("kidney_left", "64033007", "Left"),
        ("amos/right kidney", "64033007", "Right"),
        ("kidneys", "64033007", None),
        ("l_lung", "39607008", "Left"),
        ("HeadNeckCord/brainstem", "119238007", None),
        ("spinal_cord", "2748008", None),
        ("HeadNeckParotid/parotid_left", "45289007", "Left"),
        ("left_ventricle", "87878005", None),
        ("left_atrium", "82471001", None),
        ("inferior_vena_cava", "64131007", None),
        ("postcava", "64131007", None),
        ("pancreas", "15776009", None),
        ("adrenal_gland_right", "23451007", "Right"),
    ],
)
def test_of_structures_that_the_standard_names(task, code, side):
    structure = structure_of(task)
    assert (structure.code.value, structure.code.scheme_designator, structure.side) == (code, "SCT", side)


@pytest.mark.parametrize(
    "task", ["kidney_tumour", "liver_lesion", "left", "left_right_kidney", "core", "organ 1", "", "_"]
)
def test_of_others_there_is_none(task):
    assert structure_of(task) is None
