import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hermes_nnunet.core.paper.members import paper_members
from hermes_nnunet.data.merge.structures import (
    ANATOMY_FILE,
    FORMAT_VERSION,
    Anatomy,
    Overlap,
    is_known,
    overlap_of_names,
)

TABLES = yaml.safe_load(ANATOMY_FILE.read_text())
SAME, PART, FINDING, UNSPECIFIC = Overlap


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        # the same word, spelled or placed otherwise
        ("liver", "Liver", SAME),
        ("kidney", "left_kidney", SAME),
        ("kidneys", "kidney_left", SAME),
        ("parotid_left", "Left Parotid Gland", SAME),
        ("BrainStem", "brain_stem", SAME),
        ("postcava", "inferior_vena_cava", SAME),
        ("heart_ventricle_left", "LV", SAME),
        ("lung_upper_lobe_left", "lung_lower_lobe_left", SAME),
        ("urinary_bladder", "bladder", SAME),
        ("esophagus", "Oesophagus", SAME),
        ("pancreas", "pancreas", SAME),
        ("foo", "foos", SAME),
        ("vertebrae_T12", "vertebrae_L1", SAME),  # counted otherwise elsewhere
        ("prostate_or_uterus", "prostate", SAME),
        # opposite sides
        ("left_kidney", "right_kidney", None),
        ("Parotid_L", "parotid_right", None),
        ("left_lung", "lung_upper_lobe_right", None),
        ("foo_left", "foo_right", None),
        # a whole and its part
        ("heart", "left_ventricle", PART),
        ("heart", "heart_atrium_left", PART),
        ("ventricle", "myocardium", PART),
        ("brain", "hippocampus", PART),
        ("brain", "pituitary", PART),
        ("brain_stem", "white_matter", PART),
        ("left_temporal_lobe", "cerebrospinal_fluid", PART),
        ("left_lung", "lung_lower_lobe_left", PART),
        ("spinal_canal", "spinal_cord", PART),
        ("vertebrae_C1", "SpinalCord", PART),
        ("left_eye", "left_lens", PART),
        ("liver", "portal_and_splenic_vein", PART),
        ("skull", "mandible", PART),
        ("PZ", "prostate", PART),
        ("TZ", "prostate_or_uterus", PART),
        ("transitional zone", "prostate", PART),
        ("foo", "foo_bar", PART),
        # findings
        ("liver", "tumor", FINDING),
        ("spinal_cord", "kidney_cyst", FINDING),
        ("GTVp", "parotid_left", FINDING),
        ("infarct", "myocardium", FINDING),
        ("tumor", "lesion", SAME),
        # wide words, and none
        ("body", "liver", UNSPECIFIC),
        ("vessels", "liver", UNSPECIFIC),
        ("label_1", "liver", UNSPECIFIC),
        ("whole", "liver", UNSPECIFIC),
        ("skeletal_muscle", "liver", UNSPECIFIC),
        # neither
        ("liver", "spleen", None),
        ("gallbladder", "bladder", None),
        ("gall_bladder", "bladder", None),
        ("left_atrium", "left_ventricle", None),
        ("heart_atrium_left", "myocardium", None),
        ("brainstem", "left_ventricle", None),
        ("brainstem", "myocardium", None),
        ("brainstem", "left_temporal_lobe", None),
        ("spinal_cord", "left_atrium", None),
        ("brain", "spinal_cord", None),
        ("mandible", "right_ventricle", None),
        ("grey_matter", "white_matter", None),
        ("heart", "liver", None),
        ("PZ", "TZ", None),
        ("foo", "bar", None),
    ],
)
def test_overlap(a, b, expected):
    assert overlap_of_names([a], [b]) == expected
    assert overlap_of_names([b], [a]) == expected


NAMES = st.text(st.sampled_from("abl_ L1é-"), max_size=8) | st.sampled_from(
    [
        *(label for member in paper_members().members.values() for label in member.labels),
        *(name for whole, parts in TABLES["parts"].items() for name in (whole, *parts)),
        *TABLES["findings"],
        *TABLES["everything"],
        *TABLES["fillers"],
    ]
)
SIDES = st.sampled_from(["", "left_", "right_", "upper_"])


class TestRules:
    @given(a=NAMES, b=NAMES, side=SIDES, other_side=SIDES)
    def test_are_symmetric(self, a, b, side, other_side):
        one, other = side + a, other_side + b
        assert overlap_of_names([one], [other]) == overlap_of_names([other], [one])

    @given(name=NAMES, side=SIDES)
    def test_never_set_a_name_apart_from_itself(self, name, side):
        assert overlap_of_names([side + name], [side + name]) == SAME

    @given(whole=st.sampled_from(list(TABLES["parts"])), a=NAMES)
    def test_what_overlaps_with_all_names_of_a_task_is_found_by_any(self, whole, a):
        together = overlap_of_names([whole, "tumour"], [a])
        assert together is not None


class TestTables:
    def test_are_of_this_format(self):
        assert TABLES["format_version"] == FORMAT_VERSION

    def test_a_name_stands_for_one_structure(self):
        anatomy = Anatomy.read()
        meaning = {}
        for name, others in TABLES["synonyms"].items():
            for other in (name, *others):
                words = anatomy.structure(other).words
                assert words, other
                assert meaning.setdefault(words, name) == name, other

    def test_synonyms_are_no_structures_of_their_own(self):
        placed = {n for table in ("parts", "overlapping", "tissues") for w, p in TABLES[table].items() for n in (w, *p)}
        for name, others in TABLES["synonyms"].items():
            assert not placed & {other.replace(" ", "_") for other in others}, name

    def test_nothing_is_a_part_of_itself(self):
        anatomy = Anatomy.read()
        assert not [whole for whole in TABLES["parts"] if whole in anatomy.parts(whole)]

    def test_know_the_papers_labels(self):
        assert all(is_known(label) for member in paper_members().members.values() for label in member.labels)

    def test_do_not_know_other_words(self):
        assert not is_known("rhombencephalon")
        assert is_known("label 3")
        assert is_known("GTV")
