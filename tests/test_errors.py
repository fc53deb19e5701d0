import subprocess
import sys

from hermes_nnunet.errors import HermesError, TrainingEndedError


def test_the_error_of_a_training_is_one_line_in_commands_that_catch_nothing():
    assert issubclass(TrainingEndedError, HermesError)
    code = "from hermes_nnunet.errors import TrainingEndedError as E; raise E('the fold is in use')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "the fold is in use\n")
