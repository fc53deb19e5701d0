"""Names that are paths or commands of a terminal."""

import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial

from addition_subjects import add_new, examples, taught
from planting import (
    CANARY,
    Attack,
    everything,
    import_weights,
    install,
    member_json,
    members_file,
    merge,
    merge_file,
    model,
    predict,
    rename,
    set_to,
    views,
    zip_with,
)
from subject import hermes
from world import MODEL, World

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


def _renamed_member(world: World, name: str) -> None:
    def change(content: dict) -> None:
        content["hermes"]["members"]["brain"]["name"] = name
        rename("hermes", "members", "brain", to=name)(content)

    def change_cases(content: dict) -> None:
        change(content)
        for case in content["hermes"].get("cases", {}).values():
            case["member"] = name if case["member"] == "brain" else case["member"]

    model(world, ("plans.json", change), ("dataset.json", change_cases))


def attacks_by_names() -> Iterator[Attack]:
    """Every name in the place of every other."""
    for words, name in NAMES.items():
        for place, plant, command in _places(name):
            yield Attack(f"{place}: {words}", plant, command)
        if "\0" not in name and "\ud800" not in name:  # so that it can stand on a command line
            yield Attack(
                f"--name of a collection: {words}",
                partial(merge_file, change=lambda content: content.pop("name")),
                partial(_merge_as, name=name),
            )
            yield Attack(
                f"--name of imported weights: {words}",
                partial(members_file, change=lambda content: None),
                partial(import_weights, name=name),
            )
            yield Attack(f"--name of an addition: {words}", examples, partial(_teach_as, name=name))
            yield Attack(f"--name of a model with an addition: {words}", taught, partial(_add_as, name=name))


def _merge_as(world: World, name: str) -> int:
    return hermes("merge", "--members", world.root / "merge.yaml", f"--name={name}", "--processes", 1)


def _teach_as(world: World, name: str) -> int:
    return hermes(
        "teach", "-m", world.model, "--examples", world.root / "examples", f"--name={name}", "--modality", "CT",
        "--steps", 1, "--leave-out", 0, "-o", world.root / "cube.hermes", "--device", "cpu",
    )  # fmt: skip


def _add_as(world: World, name: str) -> int:
    return hermes("add", world.root / "cube.hermes", "-m", world.model, "--into", 902, f"--name={name}")


def _renamed_addition(world: World, change: Callable[[dict], None]) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    from hermes_nnunet.weights.additions.file import METADATA_KEY

    taught(world)
    path = world.root / "cube.hermes"
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()[METADATA_KEY])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (it is no dict)
    change(header)
    save_file(tensors, path, metadata={METADATA_KEY: json.dumps(header)})


def _renamed_task(name: str) -> Callable[[dict], None]:
    def change(header: dict) -> None:
        header["tasks"][0]["name"] = name
        header["member"]["tasks"][0] = name

    return change


def _renamed_modality(name: str) -> Callable[[dict], None]:
    def change(header: dict) -> None:
        header["member"]["channels"] = {name: None}
        header["new_modalities"] = [name]
        header["intensity_clipping"] = {name: header["intensity_clipping"]["CT"]}

    return change


def _places(name: str) -> Iterator[tuple[str, Callable[[World], None], Callable[[World], int]]]:
    """(what is called so, what plants it, the command that meets it)."""
    for place, keys in {
        "name of a collection": ("name",),
        "name of a member": ("members", 0, "name"),
        "data set of a member": ("members", 0, "dataset"),
    }.items():
        yield place, partial(merge_file, change=set_to(*keys, to=name)), merge
    files = {"images": ["imagesTr/a_0000.nii.gz"], "label": "labelsTr/a.nii.gz"}
    for place, change in {
        "label of a member": rename("labels", "liver", to=name),
        "case of a member": set_to("dataset", to={name: files}),
        "image of a case": set_to("dataset", to={"a": {"images": [name], "label": name}}),
    }.items():
        yield place, partial(member_json, change=change), merge
    for place, change in {
        "member of the paper": rename("members", "heart", to=name),
        "data set of the paper": set_to("members", "heart", "dataset", to=name),
    }.items():
        yield place, partial(members_file, change=change), import_weights
    for command in (views, everything):
        yield f"member of a model, {command.__name__}", partial(_renamed_member, name=name), command
        yield f"data set of a model's member, {command.__name__}", partial(_renamed_dataset, name=name), command
    yield "label of a model's member", partial(_renamed_label, name=name), everything
    for place, change in {
        "member of an addition": set_to("member", "name", to=name),
        "data set of an addition": set_to("member", "dataset_name", to=name),
        "task of an addition": _renamed_task(name),
        "label of an addition": rename("member", "labels", "cube", to=name),
        "modality of an addition": _renamed_modality(name),
        "ending of an addition": set_to("member", "file_ending", to=name),
    }.items():
        yield place, partial(_renamed_addition, change=change), add_new
    yield "file in a zip", partial(zip_with, name=f"{MODEL}/{name}"), install
    yield "data set in a zip", partial(zip_with, name=f"{name}/{MODEL.partition('/')[2]}/plans.json"), install


def _renamed_dataset(world: World, name: str) -> None:
    change = set_to("hermes", "members", "brain", "dataset_name", to=name)
    model(world, ("plans.json", change), ("dataset.json", change))


def _renamed_label(world: World, name: str) -> None:
    labels = {"background": 0, name: 2, "spleen": 1}
    model(
        world,
        ("dataset.json", rename("labels", "abdomen/liver", to=name)),
        ("plans.json", set_to("hermes", "members", "abdomen", "labels", to=labels)),
    )


def _odd_files(world: World, name: str) -> None:
    model(world)
    shutil.copyfile(world.root / "in" / "a_0000.nii.gz", world.root / "in" / name)
    (world.root / "out").mkdir()
    (world.root / "out" / "mine.txt").write_text("finished work")


def _overwrite(world: World) -> int:
    code = predict(world, "--all", "--modality", "CT", "--per-task", "--overwrite")
    if not (world.root / "out" / "mine.txt").exists():
        print("LOST mine.txt")
    return code


def attacks_by_files() -> Iterator[Attack]:
    """Images of odd names beside finished work."""
    names = (
        "..nii.gz",
        "...nii.gz",
        ". _0000.nii.gz",
        "a\nb_0000.nii.gz",
        "a\x1b[31m_0000.nii.gz",
        "a\udcff_0000.nii.gz",
        "-m_0000.nii.gz",
    )
    for name in names:
        yield Attack(f"image {name!r}", partial(_odd_files, name=name), _overwrite)
