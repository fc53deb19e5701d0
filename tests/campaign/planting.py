"""What attacks plant, and the commands that meet it."""

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from small_models import MEMBERS_FILE, write_released
from subject import hermes
from world import CONFIGURATION, TRAINER, World

# What no name may lead to: it lies beside the world.
CANARY = "canary"


@dataclass(frozen=True)
class Attack:
    """What is planted, and the command that meets it.

    Attributes:
        may_add: what the command may add beside the file that is not its own.
    """

    name: str
    plant: Callable[[World], None]
    command: Callable[[World], int | None]
    may_add: tuple[str, ...] = ()


def merge_file(world: World, change: Callable[[dict], None]) -> None:
    world.clear()
    world.add_member("Dataset001_Alpha", {"liver": 1, "spleen": 2})
    content: dict[str, Any] = {"name": "All", "into": 900, "members": [{"dataset": 1, "modality": "CT"}]}
    change(content)
    (world.root / "merge.yaml").write_text(yaml.safe_dump(content))


def merge(world: World) -> int:
    return hermes("merge", "--members", world.root / "merge.yaml", "--processes", 1)


def member_json(world: World, change: Callable[[dict], None]) -> None:
    merge_file(world, lambda content: None)
    change_json(world.raw / "Dataset001_Alpha" / "dataset.json", change)


def change_json(path: Path, change: Callable[[dict], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def members_file(world: World, change: Callable[[dict], None]) -> None:
    world.clear()
    write_released("r", world.root / "released.pth", task_rows=6, num_modalities=3)
    content = yaml.safe_load(MEMBERS_FILE)
    change(content)
    (world.root / "members.yaml").write_text(yaml.safe_dump(content))


def import_weights(world: World, name: str = "Ours") -> int:
    return hermes(
        "import-weights", world.root / "released.pth", "--into", 910, "--name", name,
        "--members", world.root / "members.yaml",
    )  # fmt: skip


def model(world: World, *changes: tuple[str, Callable[[dict], None]]) -> None:
    world.clear()
    world.add_model()
    world.add_images("a")
    for name, change in changes:
        change_json(world.model / name, change)


def views(world: World) -> int:
    return hermes("views", 900, CONFIGURATION, "-tr", TRAINER)


def predict(world: World, *options: str) -> int:
    return hermes(
        "predict", "-i", world.root / "in", "-o", world.root / "out", "-m", world.model, "--device", "cpu", *options
    )


def everything(world: World) -> int:
    return predict(world, "--all", "--modality", "CT", "--per-task", "--statistics")


def set_to(*keys: Any, to: Any) -> Callable[[dict], None]:
    def change(content: dict) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = to

    return change


def rename(*keys: Any, to: Any) -> Callable[[dict], None]:
    def change(content: dict) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[to] = content.pop(keys[-1])

    return change


def zip_with(world: World, name: str, attributes: int = 0, content: bytes = b"{}") -> None:
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


def install(world: World) -> int:
    return hermes("install", world.root / "model.zip", "--overwrite")
