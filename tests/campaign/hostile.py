"""Names that are paths or commands of a terminal, and models, zips and links that would run code or write elsewhere."""

import io
import json
import os
import pickle
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from children import Children
from interruptions import common_findings
from ledger import EXECUTED, OUTSIDE, Found, Ledger
from subjects import MEMBERS_FILE, hermes
from world import COLLECTION, CONFIGURATION, MODEL, PLANS, TRAINER, World

KIND = "hostile"
# What no name may lead to: it lies beside the world.
CANARY = "canary"
NAMES = {
    "a path upwards": f"../../{CANARY}",
    "a far path upwards": "../../../../../../../../tmp/hermes_canary",
    "an absolute path": "/tmp/hermes_canary",
    "NUL": "a\0b",
    "a new line": "a\nb",
    "an escape code": "a\x1b[31mb",
    "half a character": "a\ud800b",
    "too long": "x" * 300,
    "hidden": ".x",
    "this folder": ".",
    "the folder above": "..",
    "nothing": "",
    "a text that turns around": "a\u202eb",
    "a formula": "$(touch canary)",
}


@dataclass(frozen=True)
class Attack:
    """What is planted, and the command that meets it."""

    name: str
    plant: Callable[[World], None]
    command: Callable[[World], int | None]


# ---------------------------------------------------------------------------------------------------------------------
# names


def _merge_file(world: World, change: Callable[[dict], None]) -> None:
    world.clear()
    world.add_member("Dataset001_Alpha", {"liver": 1, "spleen": 2})
    content: dict[str, Any] = {"name": "All", "into": 900, "members": [{"dataset": 1, "modality": "CT"}]}
    change(content)
    (world.root / "merge.yaml").write_text(yaml.safe_dump(content))


def _merge(world: World) -> int:
    return hermes("merge", "--members", world.root / "merge.yaml", "--processes", 1)


def _member_json(world: World, change: Callable[[dict], None]) -> None:
    _merge_file(world, lambda content: None)
    _change_json(world.raw / "Dataset001_Alpha" / "dataset.json", change)


def _change_json(path: Path, change: Callable[[dict], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def _members_file(world: World, change: Callable[[dict], None]) -> None:
    from small_models import write_released

    world.clear()
    write_released("r", world.root / "released.pth", task_rows=6, num_modalities=3)
    content = yaml.safe_load(MEMBERS_FILE)
    change(content)
    (world.root / "members.yaml").write_text(yaml.safe_dump(content))


def _import(world: World, name: str = "Ours") -> int:
    return hermes(
        "import-weights", world.root / "released.pth", "--into", 910, "--name", name,
        "--members", world.root / "members.yaml",
    )  # fmt: skip


def _model(world: World, *changes: tuple[str, Callable[[dict], None]]) -> None:
    world.clear()
    world.add_model()
    world.add_images("a")
    for name, change in changes:
        _change_json(world.model / name, change)


def _views(world: World) -> int:
    return hermes("views", 900, CONFIGURATION, "-tr", TRAINER)


def _predict(world: World, *options: str) -> int:
    return hermes(
        "predict", "-i", world.root / "in", "-o", world.root / "out", "-m", world.model, "--device", "cpu", *options
    )


def _everything(world: World) -> int:
    return _predict(world, "--all", "--modality", "CT", "--per-task", "--statistics")


def _set(*keys: Any, to: Any) -> Callable[[dict], None]:
    def change(content: dict) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = to

    return change


def _rename(*keys: Any, to: Any) -> Callable[[dict], None]:
    def change(content: dict) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[to] = content.pop(keys[-1])

    return change


def _renamed_member(world: World, name: str) -> None:
    change = _rename("hermes", "members", "brain", to=name)

    def change_cases(content: dict) -> None:
        change(content)
        for case in content["hermes"].get("cases", {}).values():
            case["member"] = name if case["member"] == "brain" else case["member"]

    _model(world, ("plans.json", change), ("dataset.json", change_cases))


def _of_names() -> Iterator[Attack]:
    for words, name in NAMES.items():
        is_word = "\0" not in name and "\ud800" not in name  # of a command line
        yield from (
            Attack(f"name of a collection in the merge file: {words}", partial(_merge_file, change=_set("name", to=name)), _merge),
            Attack(f"name of a member: {words}", partial(_merge_file, change=_set("members", 0, "name", to=name)), _merge),
            Attack(f"dataset of a member: {words}", partial(_merge_file, change=_set("members", 0, "dataset", to=name)), _merge),
            Attack(f"label of a member: {words}", partial(_member_json, change=_rename("labels", "liver", to=name)), _merge),
            Attack(
                f"case of a member: {words}",
                partial(_member_json, change=_set("dataset", to={name: {
                    "images": ["imagesTr/a_0000.nii.gz"], "label": "labelsTr/a.nii.gz"}})),
                _merge,
            ),
            Attack(
                f"image of a case: {words}",
                partial(_member_json, change=_set("dataset", to={"a": {"images": [name], "label": name}})),
                _merge,
            ),
            Attack(f"member of the paper: {words}", partial(_members_file, change=_rename("members", "heart", to=name)), _import),
            Attack(
                f"data set of the paper: {words}", partial(_members_file, change=_set("members", "heart", "dataset", to=name)), _import
            ),
            Attack(f"member of a model, views: {words}", partial(_renamed_member, name=name), _views),
            Attack(f"member of a model, predict: {words}", partial(_renamed_member, name=name), _everything),
            *(
                Attack(
                    f"data set of a model's member, {command.__name__.strip('_')}: {words}",
                    lambda world, name=name: _model(
                        world, *((file, _set("hermes", "members", "brain", "dataset_name", to=name)) for file in ("plans.json", "dataset.json"))
                    ),
                    command,
                )
                for command in (_views, _everything)
            ),
            Attack(
                f"label of a model's member: {words}",
                lambda world, name=name: _model(world, ("dataset.json", _rename("labels", "abdomen/liver", to=name)),
                    ("plans.json", _set("hermes", "members", "abdomen", "labels", to={"background": 0, name: 2, "spleen": 1}))),
                _everything,
            ),
            Attack(f"file in a zip: {words}", partial(_zip_with, name=f"{MODEL}/{name}"), _install),
            Attack(f"data set in a zip: {words}", partial(_zip_with, name=f"{name}/{MODEL.partition('/')[2]}/plans.json"), _install),
        )  # fmt: skip
        if is_word:
            yield Attack(
                f"--name of a collection: {words}",
                partial(_merge_file, change=lambda content: content.pop("name")),
                lambda world, name=name: hermes(
                    "merge", "--members", world.root / "merge.yaml", f"--name={name}", "--processes", 1
                ),
            )
            yield Attack(
                f"--name of imported weights: {words}",
                partial(_members_file, change=lambda content: None),
                lambda world, name=name: _import(world, name),
            )


def _odd_files(world: World, name: str) -> None:
    _model(world)
    shutil.copyfile(world.root / "in" / "a_0000.nii.gz", world.root / "in" / name)
    (world.root / "out").mkdir()
    (world.root / "out" / "mine.txt").write_text("finished work")


def _overwrite(world: World) -> int:
    code = _predict(world, "--all", "--modality", "CT", "--per-task", "--overwrite")
    if not (world.root / "out" / "mine.txt").exists():
        print("LOST mine.txt")
    return code


def _of_files() -> Iterator[Attack]:
    names = ("..nii.gz", "...nii.gz", ". _0000.nii.gz", "a\nb_0000.nii.gz", "a\x1b[31m_0000.nii.gz", "a\udcff_0000.nii.gz", "-m_0000.nii.gz")
    for name in names:
        yield Attack(f"image {name!r}", partial(_odd_files, name=name), _overwrite)


# ---------------------------------------------------------------------------------------------------------------------
# links


def _link(world: World, planted: str, plant: Callable[[World], None]) -> None:
    plant(world)
    path = world.root / planted
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(world.root.with_name(CANARY))


def _of_links() -> Iterator[Attack]:
    merge_file = partial(_merge_file, change=lambda content: None)
    for planted in ("raw/.Dataset900_All.merging", "raw/Dataset900_All", "raw/Dataset900_All/labelsTr"):
        yield Attack(f"link at {planted}", partial(_link, planted=planted, plant=merge_file), _merge)
    for planted in ("results/Dataset011_abdomen", "results/Dataset011_abdomen/" + MODEL.partition("/")[2]):
        yield Attack(f"link at {planted}", partial(_link, planted=planted, plant=_model), _views)
    for planted in ("out/a", "out/a.nii.gz", "out/labels.json", "out/statistics.csv"):
        yield Attack(f"link at {planted}", partial(_link, planted=planted, plant=_model), lambda world: _predict(
            world, "--all", "--modality", "CT", "--per-task", "--statistics", "--overwrite"))  # fmt: skip
    for planted in ("results/Dataset910_Ours", "results/Dataset911_abdomen"):
        yield Attack(
            f"link at {planted}",
            partial(_link, planted=planted, plant=partial(_members_file, change=lambda content: None)),
            _import,
        )


# ---------------------------------------------------------------------------------------------------------------------
# models


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
        _set(*_PLACES[place], to=value)(content)
        arguments = content["configurations"][CONFIGURATION]["architecture"]["arch_kwargs"]
        for key in ("nonlin_kwargs", "norm_op_kwargs", "dropout_op_kwargs"):
            arguments[key] = {"command": _touch(world)}

    _model(world, ("plans.json", change))


def _hostile_checkpoint(world: World, how: str) -> None:
    import torch

    _model(world)
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


def _of_models() -> Iterator[Attack]:
    for place in _PLACES:
        for command in (_everything, _load, _stock_trainer, _install_model, _views):
            for callable_name in ("os.system",) if command in (_views, _stock_trainer) else ("os.system", "subprocess.check_output"):
                yield Attack(
                    f"{callable_name} as {place}, {command.__name__.strip('_')}",
                    partial(_hostile_plans, place=place, callable_name=callable_name),
                    command,
                )
    for how in ("whole", "plain pickle", "trainer_name", "network_weights", "init_args", "logging"):
        for command in (_everything, _load, _install_model, _views, _priors, _report, _inspect, _import, _continue, _validate):
            yield Attack(
                f"pickle as {how} of a checkpoint, {command.__name__.strip('_')}", partial(_hostile_checkpoint, how=how), command
            )


# ---------------------------------------------------------------------------------------------------------------------
# zips


def _zip_with(world: World, name: str, attributes: int = 0, content: bytes = b"{}") -> None:
    world.clear()
    world.add_model()
    with zipfile.ZipFile(world.root / "model.zip", "w") as archive:
        for path in sorted(world.results.rglob("*")):
            archive.write(path, path.relative_to(world.results))
        entry = zipfile.ZipInfo("x")
        entry.filename = name
        entry.external_attr = attributes
        stream = io.BytesIO(content)
        try:
            archive.writestr(entry, stream.read())
        except UnicodeEncodeError:  # no zip can hold it
            archive.writestr("half", b"")
    shutil.rmtree(world.results)
    world.results.mkdir()


def _install(world: World) -> int:
    return hermes("install", world.root / "model.zip", "--overwrite")


def _of_zips() -> Iterator[Attack]:
    link = (stat.S_IFLNK | 0o777) << 16
    yield Attack("link in a zip", partial(_zip_with, name=f"{MODEL}/link", attributes=link, content=b"/tmp"), _install)
    pickled = pickle.dumps(_Command("true"))
    yield Attack("pickle in a zip", partial(_zip_with, name=f"{COLLECTION}/postprocessing.pkl", content=pickled), _install)
    yield Attack("backslashes in a zip", partial(_zip_with, name=f"..\\..\\{CANARY}"), _install)
    yield Attack("a drive in a zip", partial(_zip_with, name=f"C:\\{CANARY}"), _install)


def attacks() -> list[Attack]:
    """All of them, always in this order."""
    return [attack for of in (_of_names, _of_files, _of_links, _of_models, _of_zips) for attack in of()]


def attack(ledger: Ledger, world: World, children: Children, *, every: int = 1, names: tuple[str, ...] = ()) -> Iterator[None]:
    """Attack in every way, or in one of `every`; yields after each."""
    for one in attacks()[::every]:
        if one.name.startswith(names or "") and not ledger.has(KIND, one.name, 0):
            ledger.add(KIND, one.name, 0, attacked(one, world, children))
            yield


def attacked(one: Attack, world: World, children: Children) -> list[Found]:
    """What an attack brought about."""
    canary = world.root.with_name(CANARY)
    shutil.rmtree(canary, ignore_errors=True)
    canary.mkdir()
    (canary / "mine.txt").write_text("not yours")
    planted = children.run(partial(one.plant, world))
    if planted.code != 0:
        raise RuntimeError(f"{one.name} cannot be planted:\n{planted.output}")
    before = sorted(os.listdir(world.root.parent))
    ended = children.run(partial(one.command, world))
    found = common_findings(ended)
    there = sorted(os.listdir(canary)) if canary.is_dir() else []
    if "code_was_run" in there:
        found.append((EXECUTED, "the command of the model"))
    if there != ["mine.txt"] or not set(os.listdir(world.root.parent)) <= {*before, f"{world.root.name}.report"}:
        found.append((OUTSIDE, f"{there}, {sorted(os.listdir(world.root.parent))}"))
    if "\x1b[31m" in ended.output:
        found.append((EXECUTED, "an escape code reached the terminal"))
    if "LOST mine.txt" in ended.output:
        found.append(("lost", "what was in the output folder"))
    return found
