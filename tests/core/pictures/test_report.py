import nibabel
import numpy as np
from matplotlib.image import imread

from hermes_nnunet.core.pictures.overlay import PictureCase
from hermes_nnunet.core.pictures.report import draw_report, report_figure
from hermes_nnunet.data.phantoms.phantoms import KINDS, phantom_case


def picture_case(folder, kind):
    image, label = phantom_case(kind, 0)
    nibabel.save(image, folder / f"{kind}_image.nii.gz")
    nibabel.save(label, folder / f"{kind}_label.nii.gz")
    labels = {"background": 0} | {name: value for value, name in enumerate(KINDS[kind].labels, start=1)}
    return PictureCase(
        title=kind,
        image=folder / f"{kind}_image.nii.gz",
        reference=folder / f"{kind}_label.nii.gz",
        prediction=folder / f"{kind}_label.nii.gz",
        labels=labels,
        modality=kind,
        dice=dict.fromkeys(list(labels)[1:], 1.0),
    )


class TestDrawReport:
    def test_grows_by_a_row_a_case(self, tmp_path):
        rows = [picture_case(tmp_path, kind) for kind in ("CT", "PET")]
        draw_report(rows[:1], tmp_path / "one.png")
        draw_report(rows, tmp_path / "two.png")
        one, two = (imread(tmp_path / name) for name in ("one.png", "two.png"))
        assert two.shape[0] == 2 * one.shape[0]
        assert two.shape[1] == one.shape[1]

    def test_shows_colour_beside_the_grey_image(self, tmp_path):
        figure = report_figure([picture_case(tmp_path, "T2")])
        figure.canvas.draw()
        picture = np.asarray(figure.canvas.buffer_rgba())[::-1, :, :3] / 255  # rows from below, as extents count them
        coloured = np.ptp(picture, axis=-1) > 0.3
        image, reference, prediction = (
            coloured[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)].sum()
            for box in (panel.get_window_extent() for panel in figure.axes[:3])
        )
        assert image == 0
        assert reference > 100
        assert prediction > 100
