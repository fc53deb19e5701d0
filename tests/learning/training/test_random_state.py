import random

import numpy as np
import torch

from hermes_nnunet.learning.training.random_state import random_state, set_random_states

CPU = torch.device("cpu")


def drawn():
    return random.random(), np.random.uniform(), torch.rand(1).item()


def test_the_same_numbers_are_drawn_again():
    states = [random_state(CPU)]
    first = drawn()
    assert drawn() != first
    assert set_random_states(states, CPU)
    assert drawn() == first


def test_states_of_another_number_of_processes_are_left_alone():
    states = [random_state(CPU)] * 2
    expected = [random_state(CPU)]
    assert not set_random_states(states, CPU)
    first = drawn()
    set_random_states(expected, CPU)
    assert drawn() == first
