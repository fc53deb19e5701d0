import json

import torch

from hermes_nnunet.networks.hermes_medformer import HermesMedFormer
from hermes_nnunet.networks.hermes_resunet import HermesResUNet
from hermes_nnunet.weights.conversion import convert
from hermes_nnunet.weights.released_names import our_name


class TestNames:
    def test_every_released_name_has_one_of_ours(self, names, network_class):
        ours = [our_name(name, network_class) for name in names]
        assert None not in ours
        assert len(set(ours)) == len(names)

    def test_released_hermes_r_fits_in_names_and_shapes(self, shared_data):
        shapes = json.loads((shared_data.parent / "reference" / "hermes_r_released_keys.json").read_text())
        weights = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
        with torch.device("meta"):
            network = HermesResUNet(1, 71, base_width=32, num_modalities=6)
        assert len(convert(weights, network, range(71), "released")) == len(shapes) == 405

    def test_a_name_of_the_other_topology_has_none(self):
        assert our_name("map_fusion.in_proj.0.weight", HermesResUNet) is None
        assert our_name("prior_fuse_5.task_prior", HermesMedFormer) is None
