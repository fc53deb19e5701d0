from hermes_nnunet.core.label_values import foreground_values


class TestForegroundValues:
    def test_leaves_out_background_and_ignore(self):
        labels = {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}
        assert foreground_values(labels) == {"whole": (1, 2), "core": (2,)}
