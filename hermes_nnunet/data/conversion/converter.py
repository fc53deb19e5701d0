"""What a converter declares: the facts of a data set, and how to find its cases."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from hermes_nnunet.core.paper.case_lists import CaseLists, paper_case_lists
from hermes_nnunet.core.paper.members import MemberTable, paper_members
from hermes_nnunet.data.conversion.volumes import Volume
from hermes_nnunet.errors import HermesError


@dataclass(frozen=True)
class SourceCase:
    """One case of a data set: what nnU-Net makes one training or test case of.

    Attributes:
        name: in nnU-Net's file names.
        images: a volume for each channel, all on one grid.
        label: None where the data set publishes no label for it; such cases are test cases.
        patient: whom no fold parts; by default every case is a patient.
        listed_as: its name in the lists of training and test cases, which may be the patient's; by default `name`.
        label_on_image: the label lies on the voxels of the image, whatever header it was published with.
        problems: what is wrong with it that its volumes cannot tell, one line each, without the case's name.
    """

    name: str
    images: tuple[Volume, ...]
    label: Volume | None
    patient: str = ""
    listed_as: str = ""
    label_on_image: bool = False
    problems: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "patient", self.patient or self.name)
        object.__setattr__(self, "listed_as", self.listed_as or self.name)


@dataclass(frozen=True, kw_only=True)
class Converter:
    """A data set: what it is, where to get it, and how to find its cases in the folder that a user has downloaded.

    Attributes:
        name: as typed in `hermes_nnunet convert NAME`, the name of the converter's module.
        title: the data set's own name.
        dataset: last part of the name of its nnU-Net folder.
        modalities: words for a merge; several where a patient has images of several sequences.
        channels: name of each channel, for dataset.json.
        labels: names of labels 1, 2, ... of the nnU-Net data set.
        values: every value but 0 of the published label files -> name of the label, or None for one that becomes
            background; by default the labels in their order from 1.
        cases: number of labelled cases as published, before any conversion to several images a patient.
        home: where it is to be had.
        licence: under which it is published.
        reference: the publication to cite.
        release: version or year.
        layout: what SOURCE holds, a line each.
        find_cases: all cases in the folder SOURCE, in any order; a missing or surplus file belongs to a case as one
            of its `problems`, a folder in which nothing fits raises HermesError.
        lists: names of training, validation and test cases; None where every labelled case is for training.
        published: names (`SourceCase.listed_as`) of all labelled cases, to tell which are missing; by default those
            of `lists`.
        may_be_empty: whether a label image may hold background only.
        default_channels: those that are taken where the user names none; all by default.
        options: names of the options of `hermes_nnunet convert` that `resolve` takes beside SOURCE.
        notes: what else the summary tells of SOURCE, a line each.
        resolve: for what only the folder SOURCE can tell (labels, channels, title, ...): this converter with them.
    """

    name: str
    title: str
    dataset: str
    modalities: tuple[str, ...]
    channels: tuple[str, ...]
    labels: tuple[str, ...]
    values: Mapping[int, str | None] = field(default_factory=dict)
    cases: int | None
    home: str
    licence: str
    reference: str
    release: str
    layout: tuple[str, ...]
    find_cases: Callable[[Path], Sequence[SourceCase]]
    lists: CaseLists | None = None
    published: tuple[str, ...] = ()
    may_be_empty: bool = False
    default_channels: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    resolve: "Callable[..., Converter] | None" = None

    @classmethod
    def of_paper(cls, name: str, **facts: Any) -> "Converter":
        """The converter of a member of the paper, with name, modality, labels and lists from the paper's tables."""
        member = _members()[name]
        own = {
            "name": name,
            "dataset": member.dataset,
            "modalities": member.modalities,
            "channels": member.modalities[:1],
            "labels": member.labels,
            "lists": paper_case_lists(name),
        }
        return cls(**{**own, **facts})

    @property
    def published_names(self) -> tuple[str, ...]:
        """Names of all labelled cases as published; empty where they are not known."""
        return self.published or (self.lists.names if self.lists is not None else ())

    @property
    def label_values(self) -> dict[int, int]:
        """Every value of the published label files -> value in the nnU-Net data set."""
        named = self.values or dict(enumerate(self.labels, start=1))
        own = {name: value for value, name in enumerate(self.labels, start=1)}
        return {0: 0, **{value: 0 if name is None else own[name] for value, name in named.items()}}


@cache
def _members() -> MemberTable:
    return paper_members()


def nothing_found(source: Path, layout: str) -> HermesError:
    """The error for a folder in which nothing of a data set is found."""
    return HermesError(f"{source} holds no {layout}: give the folder that holds them ('hermes_nnunet convert --list')")
