"""The file of an addition: what goes in comes out, and nothing else is read."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from hermes_nnunet.errors import HermesError
from hermes_nnunet.networks.pool_rows import adapter_of
from hermes_nnunet.weights.additions.file import METADATA_KEY, Addition, read_header, rounded


@pytest.fixture
def made(addition):
    return addition("305:T2", ("gallbladder", "stomach"))


@pytest.fixture
def path(made, tmp_path):
    path = tmp_path / "a.hermes"
    made.save(path)
    return path


def rewrite(path, change):
    """Change the content of the file's header."""
    with safe_open(path, framework="pt") as file:
        content = json.loads(file.metadata()[METADATA_KEY])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    change(content)
    save_file(tensors, path, metadata={METADATA_KEY: json.dumps(content)})


class TestRoundTrip:
    def test_of_the_header(self, made, path):
        assert read_header(path) == made.header

    def test_of_tensors(self, made, path):
        read = Addition.load(path)
        assert read.tensors.keys() == made.tensors.keys()
        for name, tensor in made.tensors.items():
            expected = tensor if adapter_of(name) is None else rounded(tensor)
            assert torch.equal(read.tensors[name], expected)

    def test_twice_is_the_same_file(self, path, tmp_path):
        Addition.load(path).save(tmp_path / "b.hermes")
        assert (tmp_path / "b.hermes").read_bytes() == path.read_bytes()

    def test_others_may_read_it_as_they_may_other_files(self, path, tmp_path):
        (tmp_path / "other").touch()
        assert path.stat().st_mode == (tmp_path / "other").stat().st_mode

    def test_says_what_it_is_for(self, path):
        base = read_header(path).base
        assert (base.dataset_name, base.fold, base.spacing) == ("Dataset900_Both", "0", {"3d_fullres": [1.5] * 3})
        assert base.network["3d_fullres"]["class"].endswith("HermesUNet")
        assert len(base.weights) == 64

    def test_of_a_release_that_measured_no_looks(self, path):
        rewrite(path, lambda content: content.pop("looks"))
        header = read_header(path)
        assert (header.looks, header.added.looks) == (None, None)


class TestBadInput:
    def test_missing(self, tmp_path):
        with pytest.raises(HermesError, match="does not exist"):
            Addition.load(tmp_path / "a.hermes")

    @pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
    def test_truncated(self, path, share):
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(HermesError, match="is no addition, or not complete"):
            Addition.load(path)

    def test_other_format_version(self, path):
        rewrite(path, lambda content: content.update(format_version=2))
        with pytest.raises(HermesError, match="header has format version 2, this release reads 1"):
            Addition.load(path)

    def test_other_safetensors_file(self, path):
        save_file({"x": torch.zeros(1)}, path)
        with pytest.raises(HermesError, match="is no addition: give a file"):
            Addition.load(path)

    @pytest.mark.parametrize(
        "change",
        [
            lambda content: content.pop("base"),
            lambda content: content.update(tasks=[]),
            lambda content: content.update(rank=0),
            lambda content: content.update(surplus=1),
            lambda content: content["tasks"][0].update(values=["x"]),
            lambda content: content.update(new_modalities=["CT"]),
            lambda content: content.update(excludes={"other": []}),
            lambda content: content["looks"].update(of_modalities=[]),
            lambda content: content["looks"]["of_modalities"][0].update(member="other"),
            lambda content: content["looks"]["of_modalities"][0].update(modality="CT"),
            lambda content: content["looks"]["of_modalities"][0]["mean"].pop(),
        ],
    )
    def test_damaged_header(self, path, change):
        rewrite(path, change)
        with pytest.raises(HermesError, match=r"a\.hermes: (header|the header is damaged)"):
            read_header(path)

    @pytest.mark.parametrize("name", ["../evil", "a/b", "/tmp/x"])
    def test_name_that_leaves_the_folder(self, path, name):
        rewrite(path, lambda content: content["member"].update(name=name))
        with pytest.raises(HermesError):
            read_header(path)

    def test_other_type_of_numbers(self, path):
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
        save_file({"x": torch.zeros(1, dtype=torch.int64)}, path, metadata=metadata)
        with pytest.raises(HermesError, match=r"is of type torch\.int64"):
            Addition.load(path)

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_numbers_that_are_not_finite(self, made, path, value):
        next(iter(made.tensors.values())).view(-1)[0] = value
        made.save(path)
        with pytest.raises(HermesError, match=r"a\.hermes: '.*' has values that are not finite"):
            Addition.load(path)


def test_is_at_most_5_megabytes_for_hermes_planners_network(made):
    """Five tasks of a new modality, at the default rank; numbers are counted, not stored."""
    from hermes_nnunet.additions import RANK
    from hermes_nnunet.networks.hermes_unet import HermesUNet
    from hermes_nnunet.networks.pool_rows import Rows, rows_of

    with torch.device("meta"):
        network = HermesUNet(
            1,
            6,
            [32, 64, 128, 256, 320, 320],
            torch.nn.Conv3d,
            [[3, 3, 3]] * 6,
            [[1, 1, 1], *[[2, 2, 2]] * 5],
            [1, 3, 4, 6, 6, 6],
            5,
            [1] * 5,
            conv_bias=True,
            norm_op=torch.nn.InstanceNorm3d,
            norm_op_kwargs={"eps": 1e-5, "affine": True},
            nonlin=torch.nn.LeakyReLU,
            num_modalities=2,
            modality_norms=True,
            adapter_ranks=[RANK],
        )
    rows = {Rows.TASKS: 5, Rows.MODALITIES: 1}
    size = 0
    for name, parameter in network.named_parameters():
        if adapter_of(name) is not None:
            size += 2 * parameter.numel()
        elif rows_of(name) is not None:
            size += 4 * rows[rows_of(name)] * parameter[0].numel()
    assert 4e6 < size + len(made.header.to_json()) < 4.9e6
