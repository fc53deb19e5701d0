import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_nnunet.learning.training.dice_fade import DiceFade


def exponents(epochs, batches):
    fade = DiceFade(0.0, 1.0, epochs, batches)
    return [fade.exponent(epoch) for epoch in range(epochs)]


def test_a_short_training_changes_to_its_end():
    assert exponents(5, 160) == [0, 0.25, 0.5, 0.75, 1]


def test_a_long_one_is_done_after_a_quarter():
    found = exponents(1000, 250)
    assert found[125] == 0.5
    assert found[249] < found[250] == found[-1] == 1


def test_between_them_it_takes_a_thousand_batches():
    assert exponents(10, 250) == [0, 0.25, 0.5, 0.75, *[1] * 6]


def test_one_epoch_has_the_first():
    assert exponents(1, 250) == [0]


def test_the_papers_loss_never_changes():
    assert {DiceFade(1.0, 1.0, 20, 250).exponent(epoch) for epoch in range(20)} == {1.0}


@given(epochs=st.integers(1, 2000), batches=st.integers(1, 1000))
def test_it_only_rises_and_ends_before_the_training_does(epochs, batches):
    found = exponents(epochs, batches)
    assert found == sorted(found)
    assert found[0] == 0
    assert epochs == 1 or found[-1] == pytest.approx(1)


def test_it_says_how_long_it_takes():
    assert str(DiceFade(0.0, 1.0, 1000, 250)) == "exponent of the Dice loss: 0 to 1 in 250 of 1000 epochs"
