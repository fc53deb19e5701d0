"""What happens when the model is told a wrong modality, or none."""

from pathlib import Path

from comparison.arms import arm
from comparison.data import MEMBERS, Workplace
from comparison.running import Conditions
from comparison.views import held_out_cases, image_of, predict
from hermes_nnunet.collection import UNKNOWN_MODALITY
from hermes_nnunet.core.dice import dice_of_case, mean_dice
from hermes_nnunet.core.files import read_json, write_json
from hermes_nnunet.overrides import MODALITY_VARIABLE

CASES = 4
FORMAT_VERSION = 1


def wrong_modality(workplace: Workplace, conditions: Conditions, results: Path) -> None:
    """How much Dice does each member lose when its images are called another modality, or "unknown"?

    The same images are clipped, and the same prior tokens are selected, as if they were of that modality.
    """
    (training,) = arm("hermes", batches=conditions.batches, seed=conditions.seed)
    training.run(workplace, conditions.device)
    modalities = [*dict.fromkeys(MEMBERS.values()), UNKNOWN_MODALITY]
    table: dict[str, dict[str, float]] = {}
    for member in MEMBERS:
        name = workplace.member_name(member)
        images = {case: image_of(workplace, member, case) for case in held_out_cases(workplace, member, CASES)}
        table[name] = {}
        for modality in modalities:
            told = {MODALITY_VARIABLE: modality}
            predictions = predict(training, workplace, images, member, f"{name}_as_{modality}", conditions.device, told)
            table[name][modality] = _mean_dice(workplace, member, predictions)
    content = {
        "format_version": FORMAT_VERSION,
        "question": " ".join((wrong_modality.__doc__ or "").split()),
        "batches_per_member": conditions.batches,
        "seed": conditions.seed,
        "cases_per_member": CASES,
        "true_modality": {workplace.member_name(m): modality for m, modality in MEMBERS.items()},
        "dice": table,
    }
    write_json(content, results / "wrong_modality.json")


def _mean_dice(workplace: Workplace, member: int, predictions: dict[str, Path]) -> float:
    raw = workplace.raw(member)
    labels = read_json(raw / "dataset.json", "link the members again")["labels"]
    references = {case: raw / "labelsTr" / f"{case}.nii.gz" for case in predictions}
    scores = {case: dice_of_case(file, references[case], labels) for case, file in predictions.items()}
    return round(mean_dice(scores), 4)
