"""A base of three members, and the fourth that is added to it: as an addition, or by transfer."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from comparison.arms import recipe_of
from comparison.data import CONFIGURATION, HERMES_PLANS, MEMBERS, Workplace
from comparison.running import Training
from comparison.splits import Reduction, add_folds, fold_of
from hermes_nnunet.core.files import written_beside
from hermes_nnunet.networks.taken_over import take_over
from hermes_nnunet.weights.additions.base import read_fold

# Member -> collection of the three others, and that of the member itself as it extends their model.
BASES = {member: member + 630 for member in MEMBERS}
EXTENSIONS = {member: member + 640 for member in MEMBERS}
# Way -> arm, and what it changes of the recipe.
WAYS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "addition": ("addition", {}),
    "addition, a quarter of the rate": ("addition", {"addition_rate": 2e-3}),
    # All layers at the full rate, as with nnU-Net's -pretrained_weights.
    "transfer": ("transfer", {}),
    "transfer, slower layers": ("transfer", {"base_share": 0.5, "first_layer_share": 0.2}),
    "transfer, half the rate for the base": ("transfer", {"base_share": 0.5}),
    "transfer, slower towards the image": ("transfer", {"first_layer_share": 0.2}),
}
FEW_CASES = 4


@dataclass(frozen=True)
class Extension:
    """A member, and the base of the others that it extends.

    Attributes:
        workplace: of the bases.
        batches: of the member's single model; the base has three times as many.
    """

    workplace: Workplace
    member: int
    batches: int
    fold: int
    seed: int
    device: str

    @property
    def name(self) -> str:
        """Of the member."""
        return self.workplace.member_name(self.member)

    @property
    def base(self) -> Training:
        """The training of the three others."""
        name = f"base_without_{self.member}_{self.batches}_f{self.fold}_s{self.seed}"
        recipe = recipe_of((len(MEMBERS) - 1) * self.batches, self.seed)
        return Training(name, "hermes", recipe, self.fold, BASES[self.member])

    @property
    def place(self) -> Workplace:
        """Where the member is preprocessed as the base's plans say, which name its weights."""
        folder = self.workplace.folder / f"extensions_{self.batches}_f{self.fold}_s{self.seed}"
        return Workplace(folder, self.workplace.command_folder, size_name=self.workplace.size_name)

    def prepare(self) -> None:
        """Train the base, and make the collection that extends it."""
        others = tuple(member for member in MEMBERS if member != self.member)
        self.workplace.prepare_collection(others, BASES[self.member])
        self.base.run(self.workplace, self.device)
        place, number = self.place, EXTENSIONS[self.member]
        place.link_members((self.workplace.folder / "nnUNet_raw").resolve())
        done = place.folder / f"extension_{number}_is_prepared"
        if done.exists():
            return
        for kind in ("nnUNet_raw", "nnUNet_preprocessed"):
            for unfinished in (place.folder / kind).glob(f"Dataset{number}_*"):
                shutil.rmtree(unfinished)
        new = f"{self.member}:{MEMBERS[self.member]}"
        extend = (self.base.fold_folder(self.workplace).parent, new, "--into", number, "-f", self.fold)
        place.run(f"extend_{number}", "hermes_nnunet", "extend", *extend)
        preprocess = ("-d", number, "-plans_name", HERMES_PLANS, "-c", CONFIGURATION, "-np", 2)
        place.run(f"prepare_{number}", "nnUNetv2_preprocess", *preprocess)
        done.touch()

    def training(self, way: str, *, few: bool = False) -> Training:
        """The member's training by one of WAYS, with all its training cases or, on fold 0, the first few."""
        arm, changes = WAYS[way]
        recipe = replace(recipe_of(self.batches, self.seed), **changes)
        words = [way.replace(",", "").replace(" ", "_"), self.member, self.batches, *(["few"] if few else [])]
        name = "_".join(map(str, [*words, f"f{self.fold}", f"s{self.seed}"]))
        reductions = [Reduction(self.name, FEW_CASES)]
        fold = fold_of(reductions[0], reductions) if few else self.fold
        return Training(name, arm, recipe, fold, EXTENSIONS[self.member])

    def run(self, way: str, *, few: bool = False) -> Training:
        """Train the member, after `prepare`."""
        training = self.training(way, few=few)
        if few:
            splits = self.place.preprocessed(EXTENSIONS[self.member]) / "splits_final.json"
            add_folds(splits, [Reduction(self.name, FEW_CASES)], of_collection=True)
        training.run(self.place, self.device)
        return training

    def base_after(self, way: str) -> Training:
        """The base with the layers that a training of the member has changed, validated on its own members."""
        changed = self.training(way)
        after = replace(self.base, name=f"{self.base.name}_after_{changed.name}")
        if after.is_done(self.workplace):
            return after
        source, target = (training.fold_folder(self.workplace) for training in (self.base, after))
        target.mkdir(parents=True, exist_ok=True)
        for file in source.parent.glob("*.json"):
            shutil.copy(file, target.parent)
        write_changed(source, changed.fold_folder(self.place), target)
        after.recipe.write(after.folder(self.workplace) / "recipe.json")
        after.validate(self.workplace, self.device)
        return after


def write_changed(base: Path, changed: Path, target: Path) -> None:
    """A checkpoint of the base with the weights of another training; rows that only the base has stay.

    Args:
        base, changed, target: folders of folds.
    """
    own, other = (read_fold(folder.parent, folder.name.removeprefix("fold_")) for folder in (base, changed))
    weights = own.checkpoint["network_weights"]
    taken = take_over(other.base, other.plans, weights, own.plans, str(changed))
    with written_beside(target / "checkpoint_final.pth") as file:
        torch.save({**own.checkpoint, "network_weights": taken.weights}, file)
