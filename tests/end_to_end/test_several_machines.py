"""torchrun on two machines, which are two commands on this one."""

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.end_to_end
TRAINER = "HermesTrainerOnce"
MACHINES = 2
TIMEOUT_S = 600
LOSS_S = 60  # until all processes have ended


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_torchrun(workplace, folder, results, trainer, **variables):
    """Train on as many machines as there are results folders; process and file of the output of each."""
    port = free_port()
    processes = []
    for machine, own in enumerate(results):
        command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", MACHINES, "--node_rank", machine]
        command += ["--nproc_per_node", 1, "--master_addr", "127.0.0.1", "--master_port", port]
        command += ["-m", "hermes_nnunet.train", workplace.collection, "3d_fullres", 0]
        command += ["-tr", trainer, "-p", workplace.plans, "-device", "cpu"]
        own.mkdir(exist_ok=True)
        environment = {"nnUNet_results": str(own), "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
        output = folder / f"output_{machine}.txt"
        with open(output, "w") as file:
            process = subprocess.Popen(
                list(map(str, command)),
                cwd=folder,
                env={**workplace.environment, **environment, **variables},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        processes.append((process, output))
    return processes


def torchrun(workplace, folder, results):
    """Exit code and output of a training on each machine."""
    processes = start_torchrun(workplace, folder, results, TRAINER)
    try:
        return [(process.wait(TIMEOUT_S), output.read_text()) for process, output in processes]
    finally:
        for process, _ in processes:
            process.terminate()


@pytest.fixture(scope="module")
def trained_on_two(planned, tmp_path_factory):
    """The results folder of a training on two machines, and what each printed."""
    folder = tmp_path_factory.mktemp("machines")
    done = torchrun(planned, folder, [folder / "results"] * MACHINES)
    for code, printed in done:
        assert code == 0, printed[-6000:]
    return folder / "results", [printed for _, printed in done]


class TestTwoMachines:
    def test_one_process_writes_the_checkpoints_and_one_log(self, planned, trained_on_two):
        results, _ = trained_on_two
        model = results / planned.dataset(planned.collection) / f"{TRAINER}__{planned.plans}__3d_fullres"
        assert {path.name for path in model.rglob("*.pth")} == {"checkpoint_final.pth", "checkpoint_best.pth"}
        (log,) = (model / "fold_0").glob("training_log_*.txt")
        assert log.read_text().count("Epoch time") == 1
        assert not list(results.glob(".*"))

    def test_both_predict_a_part_of_the_validation_and_one_sums_it_up(self, planned, trained_on_two):
        results, printed = trained_on_two
        model = results / planned.dataset(planned.collection) / f"{TRAINER}__{planned.plans}__3d_fullres"
        cases = 2 * len(planned.members)
        assert [text.count("predicting ") for text in printed] == [cases // 2, cases // 2]
        summary = json.loads((model / "fold_0/validation/summary.json").read_text())
        assert len(summary["metric_per_case"]) == cases
        dice = json.loads((model / "fold_0/validation/dice_by_member.json").read_text())
        assert {entry["cases"] for entry in dice["members"].values()} == {2}

    def test_every_member_gets_its_view(self, planned, trained_on_two):
        results, _ = trained_on_two
        for number in planned.members:
            view = results / planned.dataset(number) / f"{TRAINER}__{planned.plans}__3d_fullres"
            assert (view / "fold_0/checkpoint_final.pth").is_file()
            assert len(json.loads((view / "fold_0/validation/summary.json").read_text())["metric_per_case"]) == 2


class TestEnd:
    """Of one of two machines' processes, in the middle of an epoch."""

    TRAINER = "HermesTrainerEndless"

    @pytest.fixture
    def end(self, planned, tmp_path):
        """A function that sends a signal to the second process: what each machine printed, and the fold's folder."""
        results = tmp_path / "results"
        model = results / planned.dataset(planned.collection) / f"{self.TRAINER}__{planned.plans}__3d_fullres"

        def send(number):
            machines = start_torchrun(
                planned, tmp_path, [results] * MACHINES, self.TRAINER, HERMES_SAVE_MINUTES="0.001"
            )
            deadline = time.monotonic() + TIMEOUT_S
            try:
                while not (model / "fold_0/checkpoint_latest.pth").is_file():
                    assert all(process.poll() is None for process, _ in machines)
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
                second = machines[1][0].pid
                (worker,) = Path(f"/proc/{second}/task/{second}/children").read_text().split()
                os.kill(int(worker), number)
                sent = time.monotonic()
                assert all(process.wait(TIMEOUT_S) != 0 for process, _ in machines)
                print(f"{signal.Signals(number).name}: all have ended after {time.monotonic() - sent:.1f} s")
                assert time.monotonic() - sent < LOSS_S
            finally:
                for process, _ in machines:
                    process.terminate()
            return [output.read_text() for _, output in machines], model / "fold_0"

        return send

    def test_by_a_kill_ends_the_other_with_one_line(self, end):
        (first, _), _ = end(signal.SIGKILL)
        own = [line for line in first.splitlines() if line.startswith("hermes_nnunet: ")]
        assert own == [
            f"hermes_nnunet: error: rank 1 on {platform.node()} has ended (it was killed, or its machine is gone), so "
            f"the others end as well: look for its error there, and continue with --c"
        ]

    def test_by_a_signal_to_one_ends_both_with_a_checkpoint_of_both(self, end):
        printed, fold = end(signal.SIGTERM)
        assert [text.count("ended by SIGTERM; checkpoint_latest.pth holds epoch") for text in printed] == [1, 0]
        assert "hermes_nnunet: error" not in "".join(printed)
        state = torch.load(fold / "checkpoint_latest.pth", weights_only=False)["hermes_continuation"]
        assert len(state["random_states"]) == MACHINES
        first, second = state["step_outputs"]
        assert len(first) == len(second)


def test_folders_that_are_not_shared_end_all_processes_with_the_folders_name(planned, tmp_path):
    results = [tmp_path / "here", tmp_path / "elsewhere"]
    name = f"machine {platform.node()}"
    for code, printed in torchrun(planned, tmp_path, results):
        assert code != 0
        lines = [line for line in printed.splitlines() if line.startswith("hermes_nnunet.train: error: ")]
        assert lines == [
            f"hermes_nnunet.train: error: {name}: nnUNet_results={results[1]} does not show what {name} writes into "
            f"{results[0]}: set nnUNet_results to one folder that all machines share"
        ]
    assert not any(path for folder in results for path in folder.iterdir())
