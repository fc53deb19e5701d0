"""Plans may name what planners write, and nothing else unless a person says so."""

import pytest

from hermes_nnunet.core.trusted_plans import TRUST_VARIABLE, check_plans, trusting_plans
from hermes_nnunet.errors import HermesError

ARCHITECTURE = ("configurations", "3d_fullres", "architecture")
ARGUMENTS = (*ARCHITECTURE, "arch_kwargs")


def put(plans, keys, value):
    for key in keys[:-1]:
        plans = plans[key]
    plans[keys[-1]] = value


# Where nnU-Net looks something up by what the plans say.
NAMED = [
    (*ARGUMENTS, "nonlin"),
    (*ARGUMENTS, "conv_op"),
    (*ARGUMENTS, "norm_op"),
    (*ARGUMENTS, "dropout_op"),
    (*ARCHITECTURE, "network_class_name"),
    ("configurations", "3d_fullres", "resampling_fn_data"),
    ("configurations", "3d_fullres", "resampling_fn_seg"),
    ("configurations", "3d_fullres", "resampling_fn_probabilities"),
    ("configurations", "3d_fullres", "preprocessor_name"),
    ("configurations", "3d_fullres", "normalization_schemes", 0),
    ("image_reader_writer",),
    ("label_manager",),
]


@pytest.mark.parametrize("keys", NAMED, ids=lambda keys: str(keys[-1]))
@pytest.mark.parametrize(
    "name", ["os.system", "torch.nn.Sequential", "subprocess.Popen", "torch.nn.modules.activation.os", 3, ["os.system"]]
)
def test_another_name_is_refused_with_its_place(plans, keys, name):
    put(plans, keys, name)
    with pytest.raises(HermesError, match=r"plans\.json.*: [a-z_]+ is '?[\[3ost].*nothing was loaded") as error:
        check_plans(plans, "plans.json")
    assert str(name)[:20] in str(error.value)


def test_any_argument_that_is_to_be_imported_is_checked(plans):
    put(plans, (*ARGUMENTS, "block"), "os.system")
    plans["configurations"]["3d_fullres"]["architecture"]["_kw_requires_import"].append("block")
    with pytest.raises(HermesError, match=r"block is 'os\.system'"):
        check_plans(plans, "plans.json")


def test_layers_are_checked_whether_or_not_they_are_said_to_need_an_import(plans):
    put(plans, (*ARGUMENTS, "conv_op"), "os.system")
    plans["configurations"]["3d_fullres"]["architecture"]["_kw_requires_import"] = []
    with pytest.raises(HermesError, match=r"conv_op is 'os\.system'"):
        check_plans(plans, "plans.json")


@pytest.mark.parametrize("damage", [{}, {"network_class_name": "x"}, None, 3, "text"])
def test_a_damaged_architecture_is_one_line(plans, damage):
    put(plans, ARCHITECTURE, damage)
    with pytest.raises(HermesError, match=r"^plans\.json"):
        check_plans(plans, "plans.json")


def test_a_configuration_that_inherits_is_checked(plans):
    plans["configurations"]["mine"] = {"inherits_from": "3d_fullres", "resampling_fn_data": "system"}
    with pytest.raises(HermesError, match=r"'mine': resampling_fn_data is 'system'"):
        check_plans(plans, "plans.json")


class TestTrust:
    @pytest.fixture
    def own(self, plans):
        put(plans, (*ARCHITECTURE, "network_class_name"), "my_package.MyNetwork")
        return plans

    def test_lasts_for_its_block_only(self, own):
        with trusting_plans(True):
            check_plans(own, "plans.json")
        with trusting_plans(False), pytest.raises(HermesError, match=r"my_package\.MyNetwork"):
            check_plans(own, "plans.json")

    def test_comes_from_the_environment(self, own, monkeypatch):
        monkeypatch.setenv(TRUST_VARIABLE, "1")
        check_plans(own, "plans.json")
        monkeypatch.setenv(TRUST_VARIABLE, "0")
        with pytest.raises(HermesError, match="HERMES_TRUST_PLANS=1"):
            check_plans(own, "plans.json")


def test_what_nnunet_and_hermes_have_to_offer_is_known():
    """Every name of the lists is there, so that none of them is misspelt; and what planners choose from is listed."""
    from pydoc import locate

    from nnunetv2.imageio.reader_writer_registry import LIST_OF_IO_CLASSES, recursive_find_reader_writer_by_name
    from nnunetv2.preprocessing.normalization.map_channel_name_to_normalization import (
        channel_name_to_normalization_mapping,
    )
    from nnunetv2.preprocessing.resampling.utils import recursive_find_resampling_fn_by_name

    from hermes_nnunet.core import trusted_plans

    for name in trusted_plans._LAYERS | trusted_plans._NETWORKS:
        assert isinstance(locate(name), type), name
    for name in trusted_plans._RESAMPLING:
        assert callable(recursive_find_resampling_fn_by_name(name))
    readers = trusted_plans._OF_PLANS["image_reader_writer"]
    assert all(recursive_find_reader_writer_by_name(name).__name__ == name for name in readers)
    assert {reader.__name__ for reader in LIST_OF_IO_CLASSES} <= readers
    assert {
        scheme.__name__ for scheme in channel_name_to_normalization_mapping.values()
    } <= trusted_plans._NORMALIZATION
