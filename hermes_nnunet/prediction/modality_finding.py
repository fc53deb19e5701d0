"""Of which modality images are that nobody has named: by their DICOM header, or else by their looks."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from tqdm import tqdm

from hermes_nnunet.collection import UNKNOWN_MODALITY
from hermes_nnunet.core.reading import reading
from hermes_nnunet.core.wording import listed
from hermes_nnunet.data.dicom.sequences import by_header
from hermes_nnunet.errors import HermesError
from hermes_nnunet.overrides import AUTO
from hermes_nnunet.planning.image_reader_writer import HermesImageIO
from hermes_nnunet.planning.modality.finder import FoundModality, ModalityFinder
from hermes_nnunet.prediction.destination import Destination
from hermes_nnunet.prediction.failures import Failures
from hermes_nnunet.prediction.image_sources import DicomSource, FileSource, ImageSource, MemorySource
from hermes_nnunet.prediction.model_folder import PLANS_FILE, ModelFolder
from hermes_nnunet.prediction.names import match_member
from hermes_nnunet.prediction.passes import Choice

if TYPE_CHECKING:
    from hermes_nnunet.prediction.predictor import HermesPredictor

    # The network, loaded when it is asked for first.
    Load: TypeAlias = Callable[[], HermesPredictor]

_LEAST_SURE = 3


def is_to_find(model: ModelFolder, members: Sequence[str], modality: str | None) -> bool:
    """Whether the images' modality is to be found: where nobody names it, and members of several may be meant.

    Args:
        members: that a person names; where all of these have one modality, that is taken.
        modality: that a person names, or "auto".

    Raises:
        HermesError: it is "auto", and the model's plans lack what tells modalities apart.
    """
    if modality not in (None, AUTO) or len(_modalities(model, list(model.members))) < 2:
        return False
    if model.hermes_plans.can_find_modality:
        named = [match_member(member, list(model.members)) for member in members]
        return modality == AUTO or not named or len(_modalities(model, named)) > 1
    if modality == AUTO:
        raise HermesError(
            f"{model.path / PLANS_FILE} does not say what tells the modalities of all members apart (older releases "
            "did not measure it, nor do additions of theirs bring it, or images of a single slice): name the modality "
            "of the images"
        )
    return False


def find_modality(source: ImageSource, model: ModelFolder, load: "Load") -> FoundModality | None:
    """The modality of a case; None where the case has more channels than the network, each of its own modality.

    Where its looks leave two close, the network decides, if its training told some images to be of unknown modality.

    Args:
        load: gives the network.

    Raises:
        HermesError: the image cannot be read, or nothing can be told of such an image.
    """
    if _channels(source) > model.image_channels:
        return None
    finder = ModalityFinder.of_plans(model.hermes_plans, str(model.path / PLANS_FILE))
    among = tuple(_modalities(model, list(model.members)))
    if isinstance(source, DicomSource):
        header = by_header(source.series, among)
        if header.told and header.possible:
            return FoundModality(header.possible[0], 1.0, None, 0.0, "header")
        if header.told:
            remark = (
                f"{source.place} is {header.words} by its header, which the model was not trained on, so its modality "
                f"is taken for '{UNKNOWN_MODALITY}': check the result"
            )
            return FoundModality(UNKNOWN_MODALITY, None, None, 0.0, "header", remark=remark)
        among = header.possible
    with tempfile.TemporaryDirectory(prefix="hermes_nnunet-") as folder, reading(Path(source.place)):
        file = source.image_files(Path(folder))[0]
        image, properties = HermesImageIO().read_images([str(file)])
    found = finder.of_image(image[0], properties["spacing"], source.place, among)
    if not (found.left_to_network and load().knows_unknown):
        return found
    # Not above: it takes seconds.
    from hermes_nnunet.prediction.network_modality import modality_by_network

    return modality_by_network(load(), source, found, finder.sure)


def find_modalities(
    cases: Sequence[ImageSource],
    model: ModelFolder,
    load: "Load",
    failures: Failures,
    known: Mapping[str, FoundModality],
) -> dict[str, FoundModality]:
    """The modality of each case, by its name; those of `find_modality`'s None are left out.

    Args:
        load: gives the network, once.
        failures: gets the cases of which nothing can be told.
        known: cases that need not be looked at again.

    Raises:
        HermesError: it is not clear for some; they are named, with what to do.
    """
    found = dict(known)
    for case in tqdm(cases, desc="Finding modalities", unit="case", leave=False):
        if case.name not in found:
            with failures.of(case.name):
                modality = find_modality(case, model, load)
                if modality is not None:
                    found[case.name] = modality
    check_sure(found)
    return found


def with_found_modalities(
    destination: Destination,
    model: ModelFolder,
    choose: Callable[..., Choice],
    load: "Load",
    cases: Sequence[ImageSource],
    failures: Failures,
) -> Destination:
    """The destination with the choice for the modality of each case.

    Args:
        choose: `passes.choose` with all but the modality.
        load: as of `find_modalities`.
        failures: as of `find_modalities`.

    Raises:
        FailedCasesError: nothing can be told of any.
        HermesError: as `find_modalities`.
    """
    found = find_modalities(cases, model, load, failures, destination.found_before(cases))
    told = [case.name for case in cases if case.name not in failures]
    if not told:
        failures.raise_any(len(cases))
    modalities = {case: found[case].modality if case in found else None for case in told}
    # Labels and passes have this order, whatever the names of the cases; that of results that are there stays theirs.
    order = [*destination.modalities_before(), *model.hermes_plans.modalities, None]
    choices = {modality: choose(modality=modality) for modality in sorted(set(modalities.values()), key=order.index)}
    passes = tuple(one for choice in choices.values() for one in choice.passes)
    remarks = (modality.remark for modality in found.values() if modality.remark)
    warnings = dict.fromkeys([*remarks, *(line for choice in choices.values() for line in choice.warnings)])
    return replace(
        destination,
        choice=Choice(passes, tuple(warnings)),
        choices={case: choices[modality] for case, modality in modalities.items()},
        found=found,
    )


def check_sure(found: Mapping[str, FoundModality]) -> None:
    """Raises: HermesError where a modality is not clear."""
    unclear = [f"{case}: {modality.in_words}" for case, modality in found.items() if not modality.sure]
    if unclear:
        one = len(unclear) == 1
        them = "its modality" if one else "their modalities"
        raise HermesError(
            f"the modality of {len(unclear)} image{'' if one else 's'} is not clear ({listed(unclear)}): predict "
            f"{'it' if one else 'them'} apart from others, and name {them} with --modality"
        )


def lines_of(found: Mapping[str, FoundModality]) -> list[str]:
    """What was found, a line for each modality: how many cases, and the least sure of them."""
    lines = []
    for modality in dict.fromkeys(one.modality for one in found.values()):
        cases = {case: one for case, one in found.items() if one.modality == modality}
        least = sorted(cases, key=lambda case: cases[case].probability or 0)[:_LEAST_SURE]
        named = listed(f"{case}: {cases[case].in_words} by its {cases[case].by}" for case in least)
        what = "" if len(cases) <= _LEAST_SURE else "the least sure are "
        lines.append(f"{len(cases)} case{'s' * (len(cases) != 1)} taken for {modality} ({what}{named})")
    return lines


def _modalities(model: ModelFolder, members: Sequence[str]) -> dict[str, None]:
    return dict.fromkeys(modality for name in members for modality in model.members[name].modalities)


def _channels(source: ImageSource) -> int:
    if isinstance(source, FileSource):
        return len(source.files)
    return len(source.images) if isinstance(source, MemorySource) else 1
