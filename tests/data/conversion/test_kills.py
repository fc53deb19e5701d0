"""A conversion that is killed at any change of a file goes on when it is run again."""

import os

from hermes_nnunet.data.conversion.converting import convert

DATASET = "Dataset011_Toy"


def test_a_killed_conversion_goes_on(kills, toy, toy_source, raw, monkeypatch):
    monkeypatch.setenv("nnUNet_raw", str(kills.folder))
    kills.keep()

    def action():
        convert(toy(), toy_source.path, 11, processes=1)

    kills.run(action)
    whole = kills.snapshot()
    assert f"{DATASET}/dataset.json" in whole
    for change in kills.each(action):
        left = kills.snapshot()
        if f"{DATASET}/dataset.json" in left:
            assert {name: content for name, content in left.items() if ".writing-" not in name} == whole, change
        assert f"{DATASET}/conversion.json" in left or DATASET not in os.listdir(kills.folder), change
        kills.run(action)
        assert kills.snapshot() == whole, change
