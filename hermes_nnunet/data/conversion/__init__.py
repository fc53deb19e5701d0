"""Convert public data sets to nnU-Net raw data sets.

A data set is one module in dataset_converters that says what the set is and where its cases are, and nothing else:

    def find_cases(source: Path) -> Sequence[SourceCase]:
        return [
            SourceCase(
                name="p01_ED",                                            # in nnU-Net's file names
                images=(NiftiVolume(source / "p01.nii.gz", index=0),),    # a Volume for each channel
                label=NiftiVolume(source / "p01_gt.nii.gz", index=0),     # None: published without label
                patient="p01",                                            # folds keep a patient together
                listed_as="p01",                                          # name in the paper's lists
                problems=(),                                              # what only the names of files can tell
            )
        ]

    CONVERTER = Converter.of_paper("mnm", title=..., cases=..., home=..., ..., find_cases=find_cases)

    if __name__ == "__main__":
        from hermes_nnunet.cli.convert import convert_with

        convert_with(CONVERTER)

`Converter.of_paper` takes name, folder name, modality, labels and lists of cases from hermes_nnunet/core/paper; any of
them can be given instead. A set that is none of the paper's calls `Converter(...)` with all facts; one whose facts
stand in its folder gives `resolve`, which returns the converter with these. Modules are imported to be listed, so heavy
libraries are imported in functions.

What is no NIfTI file (DICOM series, masks as PNG, probability maps) is a `Volume` of the module's own: a frozen
dataclass of paths with `files`, `grid()` from headers, and `read()`, which returns an image in memory; `stamps()` too
where its voxels depend on more than its files. A label volume returns the published values; `Converter.values` names
them where they are not 1, 2, ... in the order of the labels. Problems are raised as HermesError of one line. The rest
is done for all sets: which cases are for testing, the grids of images and labels, unknown values, empty labels,
writing, copying or linking, folds, dataset.json, going on after a kill, leaving out broken cases, the summary.
"""

from hermes_nnunet.data.conversion.checks import compare_grids
from hermes_nnunet.data.conversion.converter import Converter, SourceCase, nothing_found
from hermes_nnunet.data.conversion.finding import files_by_key, lists_of_folders, nifti_pairs
from hermes_nnunet.data.conversion.volumes import Grid, NiftiVolume, Volume

__all__ = [
    "Converter",
    "Grid",
    "NiftiVolume",
    "SourceCase",
    "Volume",
    "compare_grids",
    "files_by_key",
    "lists_of_folders",
    "nifti_pairs",
    "nothing_found",
]
