"""The modality of an image from its looks."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes_nnunet.additions import AddedMember
from hermes_nnunet.errors import HermesError
from hermes_nnunet.looks import Looks
from hermes_nnunet.planning.modality.classifier import ModalityClassifier
from hermes_nnunet.planning.modality.features import FEATURES, image_features
from hermes_nnunet.planning.modality.finder import ModalityFinder
from hermes_nnunet.planning.modality.fitting import (
    MeasuredCase,
    _regression,
    cases_to_measure,
    classifier_of,
    fit,
    looks_of,
    looks_of_cases,
)
from hermes_nnunet.plans import HermesPlans

SPACING = (3.0, 1.0, 1.0)
KINDS = {"CT": (-1000.0, 50.0), "T1": (0.0, 300.0), "T2": (0.0, 700.0)}


def image_of(modality, seed, shape=(12, 24, 24)):
    """Noise, bright in the middle (CT, T1) or at its edge (T2)."""
    rng = np.random.default_rng(seed)
    low, high = KINDS[modality]
    image = np.full(shape, low)
    image[2:-2, 4:-4, 4:-4] = high
    image[4:-4, 8:-8, 8:-8] = (low + high) / 2 if modality == "T2" else high * 1.2
    return (image + rng.normal(size=shape) * (high - low) / 50).astype(np.float32)


def measured(modality, number, member=None):
    member = member or f"set of {modality}"
    features = image_features(image_of(modality, number), SPACING, "image")
    return MeasuredCase(member, modality, f"{member}/{number}", features)


@pytest.fixture(scope="module")
def cases():
    return [measured(modality, number) for modality in KINDS for number in range(6)]


@pytest.fixture(scope="module")
def classifier(cases):
    return fit(cases)


@pytest.fixture(scope="module")
def finder(classifier):
    return ModalityFinder(classifier)


class TestFeatures:
    def test_has_a_number_for_each_name(self):
        assert image_features(image_of("CT", 0), SPACING, "x").shape == (len(FEATURES),)

    @settings(max_examples=20, deadline=None)
    @given(scale=st.floats(0.01, 100), shift=st.floats(2000, 5000))
    def test_scaled_and_shifted_intensities_change_nothing_but_the_shares_in_hounsfield_units(self, scale, shift):
        image = image_of("T1", 1).astype(np.float64)
        before, after = (image_features(voxels, SPACING, "x") for voxels in (image, image * scale + shift))
        of_units = np.array(["_hu_" in name for name in FEATURES])
        assert np.allclose(before[~of_units], after[~of_units], atol=1e-6)

    def test_geometry_is_the_logarithm_of_spacing_and_extent(self):
        features = dict(zip(FEATURES, image_features(image_of("T1", 0), SPACING, "x"), strict=True))
        assert features["log_spacing_z"] == pytest.approx(np.log(3))
        assert features["log_extent_y"] == pytest.approx(np.log(24))

    def test_a_large_image_is_looked_at_in_part(self):
        image = np.tile(image_of("T1", 0), (1, 20, 20))
        assert np.isfinite(image_features(image, SPACING, "x")).all()

    def test_a_constant_image_is_refused(self):
        with pytest.raises(HermesError, match=r"a\.nii has the intensity 7 everywhere: its modality cannot be told"):
            image_features(np.full((4, 5, 6), 7.0), SPACING, "a.nii")

    def test_a_mostly_constant_image_is_not(self):
        image = np.zeros((30, 30, 30))
        image[15, 15, 15] = 1
        assert np.isfinite(image_features(image, SPACING, "x")).all()

    def test_a_single_slice_is_refused(self):
        with pytest.raises(HermesError, match=r"a\.nii has 1 x 5 x 6 voxels: the modality of a single slice"):
            image_features(np.random.default_rng(0).normal(size=(1, 5, 6)), SPACING, "a.nii")

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_what_is_no_number_is_refused(self, value):
        image = image_of("T1", 0)
        image[3, 3, 3] = value
        with pytest.raises(HermesError, match=r"a\.nii has voxels that are not numbers"):
            image_features(image, SPACING, "a.nii")


class TestFit:
    @pytest.mark.parametrize("modalities", [("CT", "T1"), ("CT", "T1", "T2")])
    def test_probabilities_are_those_of_scikit_learn(self, cases, modalities):
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        own = [case for case in cases if case.modality in modalities]
        features, names = np.stack([case.features for case in own]), [case.modality for case in own]
        scaler = StandardScaler().fit(features)
        model = LogisticRegression(C=10.0, class_weight="balanced", max_iter=1000)
        expected = model.fit(scaler.transform(features), names).predict_proba(scaler.transform(features))
        assert np.allclose(fit(own).probabilities(features), expected, atol=1e-9)
        assert fit(own).modalities == tuple(model.classes_)

    def test_held_out_cases_are_told_rightly(self, classifier):
        assert (classifier.tested, classifier.right) == (18, 18)

    def test_a_member_is_held_out_where_there_are_others_of_its_modality(self):
        cases = [measured("CT", n, f"set {n % 2}") for n in range(4)] + [measured("T1", n) for n in range(2)]
        from hermes_nnunet.planning.modality.fitting import _folds

        folds = [tuple(np.flatnonzero(mask)) for mask in _folds(cases)]
        assert folds == [(0, 2), (1, 3), (4,), (5,)]

    def test_of_one_modality_there_is_nothing_to_test(self, cases):
        alone = fit(cases[:6])
        assert (alone.modalities, alone.tested, alone.right) == (("CT",), 0, 0)
        found = ModalityFinder(alone).of_image(image_of("CT", 99), SPACING, "a.nii")
        assert (found.modality, found.probability, found.runner_up, found.sure) == ("CT", 1.0, None, True)

    def test_a_feature_that_is_the_same_everywhere_does_no_harm(self, cases):
        *_, coefficients, _ = _regression(np.ones((4, 2)) * [[1], [1], [2], [2]], np.array(["a", "a", "b", "b"]))
        assert np.isfinite(coefficients).all()


class TestOfImage:
    @pytest.mark.parametrize("modality", list(KINDS))
    def test_finds_the_modality_of_an_image_like_the_others(self, finder, modality):
        found = finder.of_image(image_of(modality, 99), SPACING, "a.nii")
        assert (found.modality, found.by, found.sure, found.remark) == (modality, "image", True, "")
        assert found.probability > 0.8
        assert found.runner_up in KINDS
        assert found.in_words.startswith(f"{modality} ({found.probability:.2f}; {found.runner_up} ")

    def test_an_image_that_resembles_no_member_is_unknown_with_a_remark(self, finder):
        image = np.random.default_rng(0).normal(size=(40, 40, 40)).astype(np.float32)
        found = finder.of_image(image, (0.1, 0.1, 0.1), "a.nii")
        assert (found.modality, found.probability, found.sure) == ("unknown", None, True)
        assert "a.nii resembles no image that the model was trained on (the nearest are " in found.remark

    def test_a_sure_regression_is_not_taken_where_the_looks_are_those_of_another(self, finder):
        """As of images that were cropped; far from no member."""
        intercepts = tuple(100.0 if name == "T2" else 0.0 for name in finder.classifier.modalities)
        sure = replace(finder.classifier, intercepts=intercepts, furthest=1000.0)
        found = ModalityFinder(sure).of_image(image_of("CT", 99), SPACING, "a")
        assert (found.modality, found.sure) == ("T2", False)
        assert found.probability > 0.99
        assert found.in_words.endswith("), though the nearest images are CT of set of CT")

    def test_what_lies_between_two_is_not_sure(self, finder, cases):
        first, second = (next(case.features for case in cases if case.modality == name) for name in ("T1", "T2"))
        probabilities = [finder.of_features(first * (1 - w) + second * w, "x") for w in np.linspace(0, 1, 101)]
        lowest = min(probabilities, key=lambda found: found.probability or 1)
        assert not lowest.sure
        assert {lowest.modality, lowest.runner_up} == {"T1", "T2"}

    def test_chooses_among_those_that_are_possible(self, finder):
        found = finder.of_image(image_of("T1", 99), SPACING, "a.nii", ("T1", "T2"))
        assert (found.modality, found.runner_up) == ("T1", "T2")
        assert found.probability + found.runner_up_probability == pytest.approx(1)


class TestAdditions:
    """Modalities and members that the regression was not fitted on."""

    @staticmethod
    def grown(cases, known, new, number=6):
        """The finder of a base that has some modalities, and an addition of another."""
        looks = looks_of_cases([case for case in cases if case.modality == new][:number])
        return ModalityFinder(fit([case for case in cases if case.modality in known]), looks)

    @pytest.mark.parametrize("number", [1, 6])
    @pytest.mark.parametrize(("known", "new"), [("CT T1", "T2"), ("CT T2", "T1"), ("T1 T2", "CT"), ("CT", "T2")])
    def test_bring_a_modality_that_is_found(self, cases, known, new, number):
        finder = self.grown(cases, known.split(), new, number)
        for modality in (*known.split(), new):
            found = finder.of_image(image_of(modality, 99), SPACING, "a.nii")
            assert (found.modality, found.sure) == (modality, True)
            assert found.probability > 0.8
            assert found.runner_up in {*known.split(), new} - {modality}
        assert replace(finder, added=()).of_image(image_of(new, 99), SPACING, "a.nii").modality != new

    def test_bring_images_of_a_known_modality_that_look_otherwise(self, classifier):
        """The regression was never fitted on such."""
        image, spacing = image_of("T2", 99), (0.3, 0.1, 0.1)
        assert ModalityFinder(classifier).of_image(image, spacing, "a.nii").modality == "unknown"
        case = MeasuredCase("more", "CT", "0", image_features(image_of("T2", 7), spacing, "x"))
        finder = ModalityFinder(classifier, looks_of_cases([case]))
        found = finder.of_image(image, spacing, "a.nii")
        assert (found.modality, found.sure) == ("CT", True)
        for modality in KINDS:
            found = finder.of_image(image_of(modality, 99), SPACING, "a.nii")
            assert (found.modality, found.sure) == (modality, True)

    @pytest.mark.parametrize("deviation", [0.45, 0.6, 0.8])
    def test_with_images_of_many_kinds_do_not_take_those_of_the_base(self, deviation):
        """Of which they are less standard deviations away; what may be either is asked for, not taken."""
        rng = np.random.default_rng(0)
        shift = np.where(np.arange(len(FEATURES)) < 5, 0.5, 0.0)
        base = [MeasuredCase("a", "T1", str(n), 0.2 * rng.normal(size=len(FEATURES))) for n in range(20)]
        wide = [MeasuredCase("b", "T2", str(n), shift + deviation * rng.normal(size=len(FEATURES))) for n in range(20)]
        finder = ModalityFinder(fit(base), looks_of_cases(wide))
        found = [finder.of_features(0.2 * rng.normal(size=len(FEATURES)), "x") for _ in range(100)]
        assert sum(one.modality == "T2" and one.sure for one in found) == 0
        found = [finder.of_features(shift + deviation * rng.normal(size=len(FEATURES)), "x") for _ in range(100)]
        assert sum(one.modality == "T1" and one.sure for one in found) <= 2

    def test_what_lies_between_the_new_and_the_old_is_not_sure(self, cases):
        finder = self.grown(cases, ["CT", "T1"], "T2")
        first, second = (next(case.features for case in cases if case.modality == name) for name in ("T1", "T2"))
        shares = np.linspace(0, 1, 101)
        found = [finder.of_features(first * (1 - share) + second * share, "x") for share in shares]
        assert (found[0].modality, found[-1].modality) == ("T1", "T2")
        assert not min(found, key=lambda one: one.probability or 1).sure
        of_new = [one for one in found if "T2" in (one.modality, one.runner_up)]
        assert of_new
        assert not any(one.left_to_network for one in of_new)

    @settings(max_examples=50, deadline=None)
    @given(seed=st.integers(0, 10**6), number=st.integers(0, 2))
    def test_probabilities_sum_to_one(self, cases, seed, number):
        finder = self.grown(cases, ["CT", "T1"], "T2")
        among = ("CT", "T1", "T2")[number:]
        features = cases[seed % len(cases)].features + np.random.default_rng(seed).normal(size=len(FEATURES)) * 5
        looks = [look for look in finder.classifier.looks if look.modality in among]
        ranked = finder._ranked(features, looks, finder.added)
        assert {name for name, _ in ranked} == {*among}
        assert sum(share for _, share in ranked) == pytest.approx(1)
        assert [share for _, share in ranked] == sorted((share for _, share in ranked), reverse=True)

    def test_chooses_among_those_that_are_possible(self, cases):
        finder = self.grown(cases, ["CT", "T1"], "T2")
        alone = finder.of_image(image_of("T2", 99), SPACING, "a.nii", ("T2",))
        assert (alone.modality, alone.probability, alone.runner_up) == ("T2", 1.0, None)
        other = finder.of_image(image_of("T1", 99), SPACING, "a.nii", ("T1", "CT"))
        assert (other.modality, other.runner_up) == ("T1", "CT")

    def test_looks_without_a_number_for_each_feature_are_refused(self, cases):
        with pytest.raises(ValueError, match="there are 2 features, but lists of other lengths"):
            Looks(("a", "b"), looks_of_cases(cases))

    def test_are_told_by_the_plans(self, cases, plans):
        of_base = fit([case for case in cases if case.modality != "T2"])
        looks = looks_of_cases([case for case in cases if case.modality == "T2"])
        added = AddedMember("more", ("more/x",), ("T2",), 4, Looks(FEATURES, looks))
        content = json.loads(json.dumps(of_base.to_json()))
        grown = replace(HermesPlans.from_plans(plans), modality_classifier=content, additions=(added,))
        assert ModalityFinder.of_plans(grown, "plans") == ModalityFinder(of_base, looks)


class TestNetworksShare:
    """Which cases are left to a network that was trained on the two modalities in question."""

    @staticmethod
    def features_between(cases, share):
        first, second = (next(case.features for case in cases if case.modality == name) for name in ("T1", "T2"))
        return first * (1 - share) + second * share

    def between(self, finder, cases, share):
        return finder.of_features(self.features_between(cases, share), "x")

    def test_are_those_between_two_of_the_collection(self, finder, cases):
        found = [self.between(finder, cases, share) for share in np.linspace(0, 1, 101)]
        left = [one for one in found if one.left_to_network]
        assert left
        assert all(one.probability < 0.8 <= one.probability + one.runner_up_probability for one in left)
        assert not found[0].left_to_network
        assert not found[-1].left_to_network

    def test_are_none_that_may_as_well_be_of_a_third(self, classifier, cases):
        features = np.mean([case.features for case in cases], axis=0)
        tells_nothing = replace(classifier, coefficients=((0.0,) * len(FEATURES),) * 3, intercepts=(0.0,) * 3)
        found = ModalityFinder(tells_nothing).of_features(features, "x")
        assert found.probability == pytest.approx(1 / 3)
        assert not found.left_to_network

    def test_are_none_whose_nearest_images_came_with_an_addition(self, finder, cases):
        shares = np.linspace(0, 1, 101)
        share = next(share for share in shares if self.between(finder, cases, share).left_to_network)
        features = self.features_between(cases, share)
        same = looks_of_cases([MeasuredCase("more", "T1", "0", features)])
        assert not replace(finder, added=same).of_features(features, "x").left_to_network


class TestRounding:
    """A feature that is the same in all cases, but for how it was rounded."""

    def test_decides_nothing(self):
        rng, others = np.random.default_rng(0), len(FEATURES) - 1
        cases = [
            MeasuredCase(name, name, str(n), np.append(rng.normal(size=others) + 3 * place, 1 + 1e-8 * place))
            for place, name in enumerate(("CT", "T1", "T2"))
            for n in range(8)
        ]
        finder = ModalityFinder(replace(fit(cases), furthest=1000.0))
        assert finder.of_features(np.append(np.full(others, 3.0), 1.2), "x").modality == "T1"
        # So far from all that probabilities of some of the modalities would be too small for a float.
        found = finder.of_features(np.append(np.full(others, 300.0), 9.0), "x", ("CT", "T1"))
        assert found.probability + found.runner_up_probability == pytest.approx(1)


class TestJson:
    def test_comes_back_the_same(self, classifier):
        assert ModalityClassifier.from_json(json.loads(json.dumps(classifier.to_json())), "plans") == classifier

    @pytest.mark.parametrize(
        ("change", "line"),
        [
            ({"mean": "x"}, "hermes.modality_classifier.mean must be a list, not 'x'"),
            ({"scale": [0.0] * len(FEATURES)}, r"hermes.modality_classifier.scale\[0\] must be greater than 0"),
            ({"intercepts": [0.0]}, "has 23 features and 3 modalities, but lists of other lengths"),
            ({"looks": []}, "the looks of hermes.modality_classifier are not those of its modalities"),
            ({"more": 1}, "unknown key 'more'"),
            ({"features": ["x"] * len(FEATURES)}, "is of another release, which measured other features"),
        ],
    )
    def test_a_fault_is_one_line(self, classifier, change, line):
        content = {**json.loads(json.dumps(classifier.to_json())), **change}
        with pytest.raises(HermesError, match=line):
            ModalityClassifier.from_json(content, "the plans P")


class TestOfCollection:
    class Reader:
        """Reads the image that a file name stands for."""

        def read_images(self, names):
            modality, number = names[0].split(":")
            image = image_of(modality, int(number)) if modality in KINDS else np.zeros((1, 4, 4))
            return image[None], {"spacing": SPACING}

    def files(self, collection, kinds=None):
        kinds = kinds or {"CT": "CT", "T1": "T1"}
        return {
            case: {"images": [f"{kinds[entry.modality]}:{n}"]}
            for n, (case, entry) in enumerate(collection.cases.items())
        }

    def test_measures_some_cases_of_each_member(self, collection, monkeypatch):
        monkeypatch.setattr("hermes_nnunet.planning.modality.fitting.CASES_PER_MEMBER", 2)
        chosen = cases_to_measure(collection, self.files(collection), self.Reader)
        assert [(case.member, case.image) for case in chosen] == [
            ("abdomen", "CT:0"), ("abdomen", "CT:2"), ("brain", "T1:3"), ("brain", "T1:4"),
        ]  # fmt: skip

    def test_is_fitted_on_the_images(self, collection):
        classifier, line = classifier_of(collection, self.files(collection), self.Reader)
        assert classifier.modalities == ("CT", "T1")
        assert line == "The modality of an image is found by its looks, right in 5 of 5 cases of a cross-validation"

    def test_of_one_modality_is_there_for_what_additions_bring(self, collection):
        files = {case: own for case, own in self.files(collection).items() if case.startswith("abdomen")}
        classifier, line = classifier_of(collection, files, self.Reader)
        assert (classifier.modalities, line) == (("CT",), "")
        assert classifier_of(collection, {case: {"images": ["flat:0"]} for case in files}, self.Reader) == (None, "")

    def test_looks_are_there_where_every_modality_could_be_measured(self, collection):
        looks = looks_of(collection, self.files(collection), self.Reader)
        assert looks.features == FEATURES
        assert [(look.member, look.modality) for look in looks.of_modalities] == [("abdomen", "CT"), ("brain", "T1")]
        assert looks_of(collection, self.files(collection, {"CT": "CT", "T1": "flat"}), self.Reader) is None

    def test_says_where_it_cannot_be(self, collection):
        classifier, line = classifier_of(collection, self.files(collection, {"CT": "CT", "T1": "flat"}), self.Reader)
        assert classifier is None
        assert "no case of T1 of brain has several slices and intensities" in line
