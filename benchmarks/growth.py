"""How do time and memory of a merge and of `hermes_nnunet inspect` grow with the number of cases?

Made data sets of four members with small images, all different. Each command runs in a process of its own; its memory
is the most that this process had, and that of the largest of its workers.

    python benchmarks/growth.py
    python benchmarks/growth.py --cases 100000 --results /tmp/growth   # half an hour
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from made_collection import nnunet_folders
from measuring import MEGABYTE, Row, parser, report
from nibabel import Nifti1Image

MEMBERS = 4
SHAPE = (4, 4, 4)
CASES = (1_000, 10_000)
COLLECTION_ID = 900
MERGE = ["merge", *(f"{901 + member}:CT" for member in range(MEMBERS)), "--into", str(COLLECTION_ID), "--name", "All"]
COMMANDS = {
    "merge": MERGE,
    "merge, up to date": MERGE,
    "inspect": ["inspect", str(COLLECTION_ID), "--json"],
}
_CHILD = "import json, sys; sys.path.insert(0, sys.argv[1]); from growth import run; run(json.loads(sys.argv[2]))"
_KILOBYTE = 1024 / MEGABYTE  # ru_maxrss is in kilobytes


def make_members(raw: Path, cases: int) -> None:
    """Data sets 901 to 904, which have the cases between them."""
    label = np.zeros(SHAPE, np.uint8)
    label[1:3, 1:3, 1:3] = 1
    label_file = bytes(Nifti1Image(label, np.eye(4)).to_bytes())
    start = bytes(Nifti1Image(np.zeros(SHAPE, np.int16), np.eye(4)).to_bytes())[: -2 * label.size]
    for member in range(MEMBERS):
        folder = raw / f"Dataset{901 + member}_Made{member}"
        for name in ("imagesTr", "labelsTr"):
            (folder / name).mkdir(parents=True)
        content = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "organ": 1}, "file_ending": ".nii"}
        (folder / "dataset.json").write_text(json.dumps(content))
        for case in range(member, cases, MEMBERS):
            voxels = np.full(label.size, case // 30_000, np.int16)
            voxels[0] = case % 30_000
            (folder / "imagesTr" / f"c{case:06d}_0000.nii").write_bytes(start + voxels.tobytes())
            (folder / "labelsTr" / f"c{case:06d}.nii").write_bytes(label_file)


def run(words: list[str]) -> None:
    """In a process of its own: run a command and print what it took."""
    from hermes_nnunet.cli.main import main as hermes

    start = time.perf_counter()
    code = hermes(words)
    seconds = time.perf_counter() - start
    own, workers = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps({"code": code, "seconds": seconds, "own": own, "workers": workers}))


def measure(cases: int) -> list[Row]:
    """A row for each command."""
    rows: list[Row] = []
    with nnunet_folders() as folder:
        make_members(folder / "raw", cases)
        for name, words in COMMANDS.items():
            child = [sys.executable, "-c", _CHILD, str(Path(__file__).parent), json.dumps(words)]
            output = subprocess.run(
                child, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            ).stdout
            told = json.loads(output.splitlines()[-1])
            if told["code"] != 0:
                msg = f"{name} of {cases} cases failed: {output}"
                raise RuntimeError(msg)
            rows.append(
                {
                    "command": name,
                    "cases": cases,
                    "seconds": told["seconds"],
                    "ms a case": 1000 * told["seconds"] / cases,
                    "peak MB": told["own"] * _KILOBYTE,
                    "peak MB of a worker": told["workers"] * _KILOBYTE,
                }
            )
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write benchmarks/results/growth.json."""
    options = parser(__doc__, repeats=1)
    options.add_argument("--cases", type=int, nargs="+", default=CASES, help="of the collection (default: %(default)s)")
    arguments = options.parse_args(argv)
    rows = [row for cases in arguments.cases for row in measure(cases)]
    report("growth", __doc__, {"members": MEMBERS, "shape": list(SHAPE)}, rows, arguments)


if __name__ == "__main__":
    main()
