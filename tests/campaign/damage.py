"""Files that are damaged at random, in one process: what reads one says so in one line, or gets what can be used."""

import io
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import yaml
from addition_subjects import taught
from children import CPU_SECONDS, WALL_SECONDS, Children, Watch, limit_memory
from dicom_writer import DicomWriter
from ledger import EXECUTED, HANG, OUTSIDE, TRACEBACK, Found, Ledger
from mutations import damaged_bytes, mutated_content, mutated_json, mutated_yaml
from readers import READS, YAML_FILES, read_of, write_valid
from small_models import MEMBERS_FILE, small_collection, small_dataset_json, small_plans, write_released
from subject import hermes
from subjects import plain_checkpoint, start
from world import World, noise

KIND = "mutation"
_LONGEST_LINE = 1500


@dataclass(frozen=True)
class Target:
    """A file to damage.

    Attributes:
        tries: as many as its readers are worth; more of the quick ones.
        prepare: writes all that `read` needs into the world; returns the file.
        damage: the bytes of a damaged one, given those of the good one.
        read: everything that reads it.
    """

    name: str
    tries: int
    prepare: Callable[[World], Path]
    damage: Callable[[bytes, Random], bytes]
    read: Callable[[World, Path], object]


def _of_reader(of: Callable[..., object]) -> Target:
    def reader() -> object:
        collection = small_collection()
        return read_of(of, small_plans(collection), small_dataset_json(collection), collection)

    return Target(
        f"{reader().name}, {of.__name__}",
        520,
        lambda world: write_valid(reader(), world.root / "Dataset005_X"),
        lambda data, random: mutated_json(json.loads(data), random),
        lambda world, path: reader().read(path),
    )


def _of_yaml(name: str) -> Target:
    content, read = YAML_FILES[name]

    def prepare(world: World) -> Path:
        path = world.root / name
        path.write_text(yaml.safe_dump(content))
        return path

    return Target(
        name, 500, prepare, lambda data, random: mutated_yaml(content, random), lambda world, path: read(path)
    )


def _image(ending: str) -> Target:
    def prepare(world: World) -> Path:
        import SimpleITK

        image = SimpleITK.GetImageFromArray(noise("", (8, 9, 10)))
        image.SetSpacing((2.0, 1.5, 3.0))
        path = world.root / "in" / f"a_0000{ending}"
        path.parent.mkdir()
        SimpleITK.WriteImage(image, str(path))
        return path

    def read(world: World, path: Path) -> None:
        from hermes_nnunet.core.images.opening import open_image
        from hermes_nnunet.prediction.finding import find_cases

        for case in find_cases(path.parent):
            case.check()
            case.image_files(world.root)
        image = open_image(path)
        image.voxels()
        image.labels()

    return Target(f"image{ending}", 300, prepare, _damaged(400), read)


def _damaged(beginning: int) -> Callable[[bytes, Random], bytes]:
    return lambda data, random: damaged_bytes(data, random, beginning=beginning)


def _series(world: World) -> Path:
    voxels = np.random.default_rng(0).integers(-1000, 1000, (4, 8, 6)).astype(np.int16)
    return DicomWriter().series(world.root / "source" / "p1" / "ct", voxels)[1]


def _structures(world: World) -> Path:
    _series(world)
    square = np.array([[-17.0, -27.0], [-17.0, -20.0], [-12.0, -20.0], [-12.0, -27.0]])
    contours = [np.c_[square, np.full(4, z)] for z in (40.0, 43.0, 46.0)]
    return DicomWriter().structure_set(world.root / "source" / "p1" / "rs.dcm", {"Liver": contours})


def _convert_dicom(world: World, path: Path) -> None:
    shutil.rmtree(world.raw / "Dataset011_X", ignore_errors=True)
    hermes("convert", "from_dicom", world.root / "source", "-d", 11, "--name", "X", "--processes", 1)


def _read_series(world: World, path: Path) -> None:
    from hermes_nnunet.prediction.finding import find_cases

    for case in find_cases(path.parent):
        case.check()
        case.image_files(world.root)


def _model_file(name: str) -> Callable[[World], Path]:
    return lambda world: world.add_model() / name


def _load(world: World, path: Path) -> None:
    from hermes_nnunet import HermesModel

    HermesModel.load(world.model, device="cpu")


def _other_checkpoint(data: bytes, random: Random) -> bytes:
    """Damaged bytes, or a whole checkpoint of damaged content."""
    import torch

    if random.random() < 0.5:
        return damaged_bytes(data, random, beginning=2000)
    content = mutated_content(torch.load(io.BytesIO(data), weights_only=False), random)
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def _zip(world: World) -> Path:
    world.add_model()
    path = shutil.make_archive(str(world.root / "model"), "zip", world.results)
    shutil.rmtree(world.results)
    world.results.mkdir()
    return Path(path)


def _released(world: World) -> Path:
    (world.root / "members.yaml").write_text(MEMBERS_FILE)
    return write_released("r", world.root / "released.pth", task_rows=6, num_modalities=3)


def _import(world: World, path: Path) -> None:
    hermes("import-weights", path, "--into", 910, "--members", world.root / "members.yaml", "--replace-views")


def _plain(world: World) -> Path:
    plain_checkpoint(world)
    return world.root / "plain.pth"


def _addition(world: World) -> Path:
    taught(world)
    return world.root / "cube.hermes"


def _read_addition(path: Path) -> None:
    from hermes_nnunet.weights.additions.file import Addition, read_header

    read_header(path).to_json()
    Addition.load(path)


TARGETS = (
    *(_of_reader(of) for of in READS),
    *(_of_yaml(name) for name in YAML_FILES),
    *(_image(ending) for ending in (".nii", ".nii.gz", ".nrrd", ".mha")),
    Target("DICOM slice", 250, _series, _damaged(1200), _read_series),
    Target("RTSTRUCT", 150, _structures, _damaged(1500), _convert_dicom),
    Target(
        "plans.json of a model", 150, _model_file("plans.json"),
        lambda data, random: mutated_json(json.loads(data), random), _load,
    ),
    Target(
        "dataset.json of a model", 150, _model_file("dataset.json"),
        lambda data, random: mutated_json(json.loads(data), random), _load,
    ),
    Target("checkpoint", 150, _model_file("fold_0/checkpoint_final.pth"), _other_checkpoint, _load),
    Target("zip of a model", 100, _zip, _damaged(600), lambda world, path: hermes("install", path, "--overwrite")),
    Target("released checkpoint", 100, _released, _other_checkpoint, _import),
    Target("checkpoint of plain nnU-Net", 100, _plain, _other_checkpoint, lambda world, path: start(world)),
    Target("addition", 150, _addition, _damaged(4000), lambda world, path: _read_addition(path)),
)  # fmt: skip


class _TooLong(BaseException):
    """The time is over."""


def damage(
    ledger: Ledger, world: World, children: Children, *, most: int | None = None, names: tuple[str, ...] = ()
) -> Iterator[None]:
    """Damage every file as often as it is worth, or `most` times; yields after each try."""
    watch = children.watch()
    watch.is_over = True
    sys.addaudithook(watch.see)
    limit_memory()
    for target in TARGETS:
        if names and not target.name.startswith(names):
            continue
        ledger.possible(KIND, target.name, target.tries)
        numbers = [
            number
            for number in range(target.tries if most is None else min(most, target.tries))
            if not ledger.has(KIND, target.name, number)
        ]
        for number, found in damaged(target, world, watch, numbers, ledger.seed):
            ledger.add(KIND, target.name, number, found)
            yield


def damaged(
    target: Target, world: World, watch: Watch, numbers: Sequence[int], seed: int
) -> Iterator[tuple[int, list[Found]]]:
    """(number, what was found) of each try."""
    if not numbers:
        return
    world.clear()
    path = target.prepare(world)
    good = path.read_bytes()
    target.read(world, path)
    for number in numbers:
        path.write_bytes(target.damage(good, Random(f"{seed} {target.name} {number}")))
        yield number, _tried(lambda: target.read(world, path), watch)


def _tried(action: Callable[[], object], watch: Watch) -> list[Found]:
    from hermes_nnunet.core.shortages import line_of
    from hermes_nnunet.errors import HermesError

    found: list[Found] = []
    printed = io.StringIO()
    line = ""
    with _time_limit(), watch.watching(), redirect_stdout(printed), redirect_stderr(printed):
        try:
            action()
        except HermesError as error:
            line = str(error)
        except _TooLong:
            found.append((HANG, "no end"))
        except SystemExit:
            pass
        except BaseException as error:
            if line_of(error) is None:
                found.append((TRACEBACK, _where(error)))
    if len(line) > _LONGEST_LINE or "\n" in line.replace("\n  ", ""):
        found.append((TRACEBACK, f"no line: {line[:300]!r}"))
    found += [(EXECUTED, command) for command in watch.executed[:1]]
    found += [(OUTSIDE, path) for path in watch.outside[:1]]
    return found


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "hermes_nnunet" in frame.filename] or frames
    return f"{error!r:.200} at {os.path.basename(ours[-1].filename)}:{ours[-1].lineno}"


@contextmanager
def _time_limit() -> Iterator[None]:
    def end(*_: object) -> None:
        raise _TooLong

    timers = ((signal.SIGALRM, signal.ITIMER_REAL, WALL_SECONDS), (signal.SIGPROF, signal.ITIMER_PROF, CPU_SECONDS))
    for name, timer, seconds in timers:
        signal.signal(name, end)
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for _, timer, _ in timers:
            signal.setitimer(timer, 0)
