"""Models, checkpoints and zips that would run code or write elsewhere."""

import json
import os
import pickle
import shutil
import stat
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from planting import (
    CANARY,
    Attack,
    everything,
    import_weights,
    install,
    model,
    set_to,
    views,
    zip_with,
)
from small_models import MEMBERS_FILE
from subject import hermes
from world import COLLECTION, CONFIGURATION, MODEL, PLANS, TRAINER, World


class _Command:
    """Unpickled, it runs a command."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple:
        return os.system, (self._command,)


def _touch(world: World) -> str:
    return f"touch {world.root.with_name(CANARY) / 'code_was_run'}"


_ARCHITECTURE = ("configurations", CONFIGURATION, "architecture")
_PLACES = {
    "nonlin": (*_ARCHITECTURE, "arch_kwargs", "nonlin"),
    "norm_op": (*_ARCHITECTURE, "arch_kwargs", "norm_op"),
    "conv_op": (*_ARCHITECTURE, "arch_kwargs", "conv_op"),
    "dropout_op": (*_ARCHITECTURE, "arch_kwargs", "dropout_op"),
    "network": (*_ARCHITECTURE, "network_class_name"),
    "preprocessor": ("configurations", CONFIGURATION, "preprocessor_name"),
    "resampling of data": ("configurations", CONFIGURATION, "resampling_fn_data"),
    "resampling of labels": ("configurations", CONFIGURATION, "resampling_fn_seg"),
    "resampling of logits": ("configurations", CONFIGURATION, "resampling_fn_probabilities"),
    "normalization": ("configurations", CONFIGURATION, "normalization_schemes"),
    "label manager": ("label_manager",),
    "reader": ("image_reader_writer",),
}


def _hostile_plans(world: World, place: str, callable_name: str) -> None:
    def change(content: dict) -> None:
        value: Any = [callable_name] if place == "normalization" else callable_name
        set_to(*_PLACES[place], to=value)(content)
        arguments = content["configurations"][CONFIGURATION]["architecture"]["arch_kwargs"]
        for key in ("nonlin_kwargs", "norm_op_kwargs", "dropout_op_kwargs"):
            arguments[key] = {"command": _touch(world)}

    model(world, ("plans.json", change))


def _hostile_checkpoint(world: World, how: str) -> None:
    import torch

    model(world)
    for path in world.model.glob("fold_*/checkpoint_final.pth"):
        content = torch.load(path, weights_only=False)
        command = _Command(_touch(world))
        if how == "plain pickle":
            path.write_bytes(pickle.dumps(command))
        elif how == "whole":
            torch.save(command, path)
        else:
            torch.save({**content, how: command}, path)
    shutil.copyfile(path, path.with_name("checkpoint_latest.pth"))
    shutil.copyfile(path, path.with_name("checkpoint_best.pth"))
    shutil.copyfile(path, world.root / "released.pth")
    (world.root / "members.yaml").write_text(MEMBERS_FILE)


def _load(world: World) -> None:
    from hermes_nnunet import HermesModel

    _refused(lambda: HermesModel.load(world.model, device="cpu"))


def _stock_trainer(world: World) -> None:
    """What nnUNetv2_predict builds its network with."""
    from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    def build() -> None:
        plans = json.loads((world.model / "plans.json").read_text())
        manager = PlansManager(plans)
        HermesTrainer.build_network_architecture(manager, manager.get_configuration(CONFIGURATION), 1, 4, True)

    _refused(build)


def _refused(action: Callable[[], object]) -> None:
    from hermes_nnunet.errors import HermesError

    try:
        action()
    except HermesError as error:
        print(error)


def _continue(world: World, validate: bool = False) -> None:
    import torch
    from nnunetv2.run.run_training import run_training

    planted = world.model / "fold_0"
    kept = world.root / "planted"
    shutil.copytree(planted, kept)
    world.add_collection()
    _refused(
        lambda: run_training(
            "900", CONFIGURATION, 0, TRAINER, PLANS, continue_training=not validate, only_run_validation=validate,
            device=torch.device("cpu"),
        )
    )  # fmt: skip


def _validate(world: World) -> None:
    _continue(world, validate=True)


def _report(world: World) -> int:
    return hermes("report", world.model, "-o", world.root / "report.html")


def _priors(world: World) -> int:
    return hermes("priors", world.model, "-o", world.root / "priors.png")


def _inspect(world: World) -> int:
    return hermes("inspect", world.model)


def _install_model(world: World) -> int:
    archive = shutil.make_archive(str(world.root / "model"), "zip", world.results)
    shutil.rmtree(world.results)
    world.results.mkdir()
    return hermes("install", archive)


def attacks_by_models() -> Iterator[Attack]:
    """Commands in every place of plans that names a class, and in every part of a checkpoint."""
    for place in _PLACES:
        for command in (everything, _load, _stock_trainer, _install_model, views):
            for name in ("os.system", "subprocess.check_output"):
                plant = partial(_hostile_plans, place=place, callable_name=name)
                yield Attack(f"{name} as {place}, {command.__name__.strip('_')}", plant, command)
    readers = (
        everything,
        _load,
        _install_model,
        views,
        _priors,
        _report,
        _inspect,
        import_weights,
        _continue,
        _validate,
    )
    for how in ("whole", "plain pickle", "trainer_name", "network_weights", "init_args", "logging"):
        for command in readers:
            plant = partial(_hostile_checkpoint, how=how)
            yield Attack(f"pickle as {how} of a checkpoint, {command.__name__.strip('_')}", plant, command)


def attacks_by_zips() -> Iterator[Attack]:
    """Entries that no honest program writes."""
    link = (stat.S_IFLNK | 0o777) << 16
    yield Attack("link in a zip", partial(zip_with, name=f"{MODEL}/link", attributes=link, content=b"/tmp"), install)
    pickled = pickle.dumps(_Command("true"))
    yield Attack(
        "pickle in a zip", partial(zip_with, name=f"{COLLECTION}/postprocessing.pkl", content=pickled), install
    )
    yield Attack("backslashes in a zip", partial(zip_with, name=f"..\\..\\{CANARY}"), install)
    yield Attack("a drive in a zip", partial(zip_with, name=f"C:\\{CANARY}"), install)
