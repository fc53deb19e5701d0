"""The working folder of the comparison: data sets, plans of one size for all arms, preprocessed images."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from comparison.size import BATCH_SIZE, SIZES, USUAL_SIZE, Size
from hermes_nnunet.collection import HERMES_BLOCK
from hermes_nnunet.core.commands import KEEP_FREED_MEMORY, find_commands, run_logged
from hermes_nnunet.core.files import read_json, write_json
from hermes_nnunet.core.processes import available_cores
from hermes_nnunet.core.trusted_plans import TRUST_VARIABLE
from hermes_nnunet.errors import HermesError
from hermes_nnunet.planning.preprocessing.intensity import CT, CT_RANGE_HU

MEMBERS = {301: "CT", 302: "CT", 303: "cineMRI", 304: "LGE-MRI"}
# Members whose images show the same region of the body: none of what members of other regions label.
REGIONS = ((301, 302), (303, 304))
COLLECTION_ID = 900
CONFIGURATION = "3d_fullres"
COMMANDS = (
    "hermes_nnunet",
    "nnUNetv2_plan_and_preprocess",
    "nnUNetv2_preprocess",
    "nnUNetv2_train",
    "nnUNetv2_predict",
)
# How the collection's CTs are clipped and normalised: all by what is labelled, as the planner has it; clipped to that
# range, but each by its own mean and deviation; or so and clipped to [-991, 500] HU.
# In the result each has these words behind the arm's name.
PLANNED_CT_RULE = "labelled"
CT_RULES = {PLANNED_CT_RULE: "", "z-score": ", z-score of each CT", "paper": ", CT range of the paper"}

SIZE_FILE = "size.txt"
SINGLE_PLANS = "SinglePlans"
HERMES_PLANS = "HermesSPlans"
NAIVE_PLANS = "NaivePlans"
MASKED_PLANS = "MaskedPlans"
RESIDUAL_ENCODER_UNET = "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"
MASKED_UNET = "comparison.networks.MaskedUNet"
# nnU-Net's label manager needs all logits at the image's voxels
NNUNET_RESAMPLING_OF_LOGITS = {
    "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
    "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None},
}


class Workplace:
    """A folder with nnU-Net's three folders in it, and the commands that work there.

    Trainings have results folders of their own; see `comparison.running`.

    Attributes:
        ct_rule: one of CT_RULES, always the same in a folder.
        size_name, size: one of SIZES, always the same in a folder.
        command_folder, commands: where the commands are, and the path of each.
    """

    def __init__(
        self, folder: Path, commands: Path, ct_rule: str = PLANNED_CT_RULE, size_name: str = USUAL_SIZE
    ) -> None:
        self.folder = folder
        self.ct_rule = ct_rule
        self.size_name = size_name
        self.size = SIZES[size_name]
        self.command_folder = commands
        self.commands = find_commands(COMMANDS, commands)
        benchmarks = Path(__file__).resolve().parents[1]
        self.environment = {
            "nnUNet_raw": str(folder / "nnUNet_raw"),
            "nnUNet_preprocessed": str(folder / "nnUNet_preprocessed"),
            "nnUNet_results": str(folder / "nnUNet_results"),
            "nnUNet_extTrainer": str(benchmarks / "comparison" / "trainers"),
            "PYTHONPATH": str(benchmarks),
            TRUST_VARIABLE: "1",  # for the networks of comparison.networks
            # each of them takes seconds to start
            "nnUNet_def_n_proc": str(min(2, available_cores())),
            "nnUNet_n_proc_DA": "1",
            **KEEP_FREED_MEMORY,
        }

    def run(self, log: str, command: str, *arguments: object, environment: Mapping[str, str] | None = None) -> None:
        """One of the commands, with its output in FOLDER/log."""
        (self.folder / "log").mkdir(parents=True, exist_ok=True)
        run_logged(
            [self.commands[command], *map(str, arguments)],
            self.folder / "log" / f"{log}.txt",
            {**self.environment, **(environment or {})},
        )

    def raw(self, number: int) -> Path:
        """A member's folder in nnUNet_raw."""
        (found,) = (self.folder / "nnUNet_raw").glob(f"Dataset{number}_*")
        return found

    def member_name(self, number: int) -> str:
        """What the merge calls the member of this id."""
        return self.raw(number).name.split("_", 1)[1]

    def number_of(self, member: str) -> int:
        """The id of the member of this name."""
        return next(number for number in MEMBERS if self.member_name(number) == member)

    def preprocessed(self, number: int) -> Path:
        """A member's or collection's folder in nnUNet_preprocessed."""
        (found,) = (self.folder / "nnUNet_preprocessed").glob(f"Dataset{number}_*")
        return found

    def link_members(self, source: Path) -> None:
        """Link the members of `source` (a nnUNet_raw).

        Raises:
            HermesError: the folder was prepared with another size.
        """
        self._check_size()
        (self.folder / "nnUNet_raw").mkdir(parents=True, exist_ok=True)
        for number in MEMBERS:
            (dataset,) = source.glob(f"Dataset{number}_*")
            link = self.folder / "nnUNet_raw" / dataset.name
            if not link.is_symlink():
                link.symlink_to(dataset.resolve())

    def _check_size(self) -> None:
        """A folder says which size it is of; one that does not, and has images, is of the usual one."""
        file = self.folder / SIZE_FILE
        if not file.is_file() and not (self.folder / "nnUNet_preprocessed").is_dir():
            self.folder.mkdir(parents=True, exist_ok=True)
            file.write_text(self.size_name)
        there = file.read_text() if file.is_file() else USUAL_SIZE
        if there != self.size_name:
            raise HermesError(
                f"{self.folder} was prepared with --size '{there}': give --size '{self.size_name}' another folder"
            )

    def prepare_singles(self) -> None:
        """Each member planned and preprocessed by nnU-Net's residual encoder planner, as a data set of its own."""
        self._prepare_plain(tuple(MEMBERS), "singles_are_prepared", "prepare_singles")

    def prepare_single(self, number: int) -> None:
        """The same for another data set."""
        self._prepare_plain((number,), f"single_{number}_is_prepared", f"prepare_single_{number}")

    def _prepare_plain(self, numbers: tuple[int, ...], done_file: str, log: str) -> None:
        done = self.folder / done_file
        if done.exists():
            return
        plan = ("-pl", "nnUNetPlannerResEncM", "-overwrite_plans_name", SINGLE_PLANS, "-c", CONFIGURATION)
        size = ("-overwrite_target_spacing", *self.size.spacing_mm, "-npfp", 2, "-np", 2)
        self.run(log, "nnUNetv2_plan_and_preprocess", "-d", *numbers, *plan, *size)
        for number in numbers:
            folder = self.preprocessed(number)
            shutil.copy(self.raw(number) / "splits_final.json", folder)
            plans = read_json(folder / f"{SINGLE_PLANS}.json", "delete the folder and start again")
            write_json(_with_common_size(plans, self.size), folder / f"{SINGLE_PLANS}.json")
        done.touch()

    def prepare_collection(
        self,
        members: tuple[int, ...] = tuple(MEMBERS),
        number: int = COLLECTION_ID,
        *,
        absent: bool = False,
        changes: Mapping[int, Mapping[str, object]] | None = None,
        more: Sequence[Mapping[str, object]] = (),
        shared_tasks: Mapping[str, Sequence[str]] | None = None,
        unknown_copies: bool = False,
    ) -> None:
        """Merge, plan and preprocess; plans of the naive and the masked merge read the same preprocessed images.

        Args:
            members: their ids.
            number: id of the collection.
            absent: whether each member says that its images show nothing of the other regions of the body.
            changes: member -> keys of the merge file that are other than usual.
            more: members beside these, as the merge file has them.
            shared_tasks: as the merge file has them.
            unknown_copies: as the plans have it.

        Raises:
            HermesError: the folder was prepared with another rule of CT, or the collection of other members.
        """
        merge_file = self.folder / f"merge_{number}.yaml"
        own = [{**self._merged(member, members, absent), **(changes or {}).get(member, {})} for member in members]
        sharing = {"shared_tasks": dict(shared_tasks)} if shared_tasks else {}
        merged = yaml.safe_dump({"members": [*own, *map(dict, more)], **sharing})
        if merge_file.is_file() and merge_file.read_text() != merged:
            raise HermesError(f"collection {number} is that of {merge_file}: give other members another number")
        if not merge_file.is_file():  # another run of the same comparison may be reading it
            merge_file.write_text(merged)
        done = self.folder / f"collection_{number}_is_prepared"
        if not done.exists():
            self._merge_and_preprocess(merge_file, number, unknown_copies)
            done.write_text(self.ct_rule)
        if (rule_there := done.read_text()) != self.ct_rule:
            raise HermesError(
                f"{self.folder} was prepared with --ct {rule_there}: give --ct {self.ct_rule} another folder"
            )
        folder = self.preprocessed(number)
        planned = read_json(folder / f"{HERMES_PLANS}.json", "delete the folder and start again")
        plans = _with_common_size(planned, self.size)
        for name, change in ((HERMES_PLANS, _unchanged), (NAIVE_PLANS, _naive), (MASKED_PLANS, _masked)):
            write_json({**change(plans), "plans_name": name}, folder / f"{name}.json")

    def _merge_and_preprocess(self, merge_file: Path, number: int, unknown_copies: bool) -> None:
        named = ("--into", number, "--name", f"Real{number}")
        self.run(f"merge_{number}", "hermes_nnunet", "merge", "--members", merge_file, *named)
        plan = ("-d", number, "-pl", "HermesPlannerS", "-npfp", 2, "--no_pp")
        spacing = ("-overwrite_target_spacing", *self.size.spacing_mm)
        self.run(f"plan_{number}", "nnUNetv2_plan_and_preprocess", *plan, *spacing)
        file = self.preprocessed(number) / f"{HERMES_PLANS}.json"
        plans = read_json(file, "delete the folder and start again")
        block = plans[HERMES_BLOCK]
        if self.ct_rule != PLANNED_CT_RULE:
            clipping = block["intensity_clipping"]
            range_hu = clipping[CT]["range"] if self.ct_rule == "z-score" else CT_RANGE_HU
            clipping[CT] = {"range": list(range_hu)}
        block["unknown_copies"] = unknown_copies
        write_json(plans, file)
        preprocess = ("-d", number, "-plans_name", HERMES_PLANS, "-c", CONFIGURATION, "-np", 2)
        self.run(f"prepare_{number}", "nnUNetv2_preprocess", *preprocess)

    def _merged(self, member: int, members: tuple[int, ...], absent: bool) -> dict[str, Any]:
        """A member as the merge file has it."""
        (own_region,) = (region for region in REGIONS if member in region)
        elsewhere = [self.member_name(other) for other in members if other not in own_region]
        return {"dataset": member, "modality": MEMBERS[member], **({"absent": elsewhere} if absent else {})}


def with_architecture(plans: Mapping[str, Any], network: str | None = None, **arguments: Any) -> dict[str, Any]:
    """Plans with another network (default: the same); `arguments` change those of the network, None leaves one out."""
    configuration = plans["configurations"][CONFIGURATION]
    changed = {**configuration["architecture"]["arch_kwargs"], **arguments}
    architecture = {
        **configuration["architecture"],
        "network_class_name": network or configuration["architecture"]["network_class_name"],
        "arch_kwargs": {key: value for key, value in changed.items() if key not in arguments or value is not None},
    }
    return {**plans, "configurations": {CONFIGURATION: {**configuration, "architecture": architecture}}}


def _with_common_size(plans: Mapping[str, Any], size: Size) -> dict[str, Any]:
    """Plans with the patch, batch, widths and depths of the comparison."""
    configuration = {
        **plans["configurations"][CONFIGURATION],
        "patch_size": list(size.patch_size),
        "batch_size": BATCH_SIZE,
        "batch_dice": False,
    }
    stages = len(size.widths)
    sized = {**plans, "configurations": {CONFIGURATION: configuration}}
    return with_architecture(
        sized,
        n_stages=stages,
        features_per_stage=list(size.widths),
        kernel_sizes=[[3, 3, 3]] * stages,
        strides=[[1, 1, 1], *[[2, 2, 2]] * (stages - 1)],
        n_blocks_per_stage=list(size.blocks_per_stage),
        n_conv_per_stage_decoder=[1] * (stages - 1),
    )


def _unchanged(plans: Mapping[str, Any]) -> Mapping[str, Any]:
    return plans


def _naive(plans: Mapping[str, Any]) -> dict[str, Any]:
    """nnU-Net's own network, label manager and export: what a case's member does not label is background."""
    own = dict.fromkeys(("num_modalities", "rows_per_case", "tokens_per_modality", "encoder_type", "modality_norms"))
    changed = with_architecture(plans, RESIDUAL_ENCODER_UNET, **own)
    configuration = {**changed["configurations"][CONFIGURATION], **NNUNET_RESAMPLING_OF_LOGITS}
    return {**changed, "configurations": {CONFIGURATION: configuration}, "label_manager": "LabelManager"}


def _masked(plans: Mapping[str, Any]) -> dict[str, Any]:
    """A channel a task without priors; the loss still looks only at annotated tasks."""
    return with_architecture(plans, MASKED_UNET)
