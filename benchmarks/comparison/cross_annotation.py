"""What another member labels, predicted where nobody labelled it."""

from pathlib import Path

from comparison.arms import arm
from comparison.data import MEMBERS, Workplace
from comparison.running import Conditions
from comparison.views import held_out_cases, image_of, predict
from hermes_nnunet.core.files import read_json
from hermes_nnunet.core.pictures.overlay import PictureCase
from hermes_nnunet.core.pictures.report import draw_report

PAIR = (301, 302)
CASES = 2


def cross_annotation(workplace: Workplace, conditions: Conditions, _results: Path) -> None:
    """Are the parotids found on cases of the cord set, and the cord set's organs on cases of the parotid set?

    Nobody labelled them there, so a person has to judge the picture.
    """
    (training,) = arm("hermes", batches=conditions.batches, seed=conditions.seed)
    training.run(workplace, conditions.device)
    rows = []
    for own, view in (PAIR, PAIR[::-1]):
        images = {case: image_of(workplace, own, case) for case in held_out_cases(workplace, own, CASES)}
        predictions = predict(training, workplace, images, view, f"{own}_through_{view}", conditions.device)
        labels = read_json(workplace.raw(view) / "dataset.json", "link the members again")["labels"]
        source, target = map(workplace.member_name, (own, view))
        rows += [
            PictureCase(
                f"{case} of {source}\nthrough the view of {target}", image, None, predictions[case],
                labels, MEMBERS[own], {},
            )
            for case, image in images.items()
        ]  # fmt: skip
    picture = workplace.folder / "cross_annotation.png"  # of images that stay out of the project, so not in results
    draw_report(rows, picture)
    print(picture)
