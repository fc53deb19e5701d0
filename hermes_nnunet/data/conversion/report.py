"""What a conversion, and the list of converters, tell on the screen."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from hermes_nnunet.core.wording import listed
from hermes_nnunet.data.conversion.converter import Converter
from hermes_nnunet.data.conversion.converting import ConversionResult
from hermes_nnunet.data.conversion.target import RECORD_FILE


def print_converters(converters: Sequence[Converter], console: Console) -> None:
    """Print every data set with its facts."""
    # Narrow columns for the short facts, so that a terminal of 80 columns leaves room for the long ones.
    table = Table(box=None, padding=(0, 2, 1, 0), pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("modality", no_wrap=True)
    table.add_column("cases", justify="right", no_wrap=True)
    table.add_column("labels, home, licence, folder", overflow="fold", ratio=1)
    for converter in converters:
        table.add_row(
            converter.name,
            "\n".join(converter.modalities),
            "" if converter.cases is None else str(converter.cases),
            "\n".join(
                (
                    ", ".join(filter(None, (converter.title, converter.release))),
                    f"labels: {', '.join(converter.labels) or 'those that the folder names'}",
                    f"home: {converter.home}",
                    f"licence: {converter.licence}",
                    *(f"folder: {line}" for line in converter.layout),
                )
            ),
        )
    console.print(table, markup=False, highlight=False)


def print_result(result: ConversionResult, console: Console) -> None:
    """Print the summary of a conversion."""
    for line in result_lines(result):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def result_lines(result: ConversionResult) -> list[str]:
    """What was done, a line each; what the user should look at comes last."""
    converter, parts = result.converter, result.parts
    fold = result.folds[0]
    folds = f"{len(result.folds)} folds" if len(result.folds) > 1 else "the fold of the lists"
    labelled = sum(case.label is not None for case in parts.test)
    lines = [
        f"{converter.title} -> {result.folder}",
        f"training: {len(parts.train)} cases, {folds} (fold 0: {len(fold['train'])} train, {len(fold['val'])} val)",
        f"test: {len(parts.test)} cases, {labelled} with labels",
        f"written now: {result.written} cases, before: {len(parts.train) + len(parts.test) - result.written}",
    ]
    if result.replaced:
        lines.append(
            f"written again, since {RECORD_FILE} did not say that they were made from the files that SOURCE holds now: "
            f"{len(result.replaced)} cases: {listed(result.replaced)}"
        )
    if result.mended:
        lines.append(f"header of the label mended in {len(result.mended)} cases: {listed(result.mended)}")
    if result.aligned:
        lines.append(f"header of a channel mended in {len(result.aligned)} cases: {listed(result.aligned)}")
    if result.respaced:
        lines.append(
            f"spacing mended in {len(result.respaced)} files, whose headers said another in the sform than in pixdim: "
            f"{listed(result.respaced)}"
        )
    if result.gaps:
        lines.append(
            f"voxels that are no numbers replaced by the median of those around: {sum(result.gaps.values())} in "
            f"{len(result.gaps)} cases: {listed(result.gaps)}"
        )
    if result.rounded:
        lines.append(f"label values rounded to whole numbers in {len(result.rounded)} cases: {listed(result.rounded)}")
    if result.placeless:
        lines.append(
            f"warning: {len(result.placeless)} images have headers that say neither place nor spacing (1 x 1 x 1 mm is "
            f"taken): {listed(result.placeless, limit=40)}"
        )
    if parts.unlisted:
        names = listed(case.name for case in parts.unlisted)
        lines.append(
            f"left out, because the lists do not name them: {len(parts.unlisted)} cases: {names} "
            "(--all-training takes them)"
        )
    if result.missing:
        total = len(set(converter.published_names))
        lines.append(
            f"warning: {len(result.missing)} of {total} published cases are missing in the source: "
            f"{listed(result.missing)}"
        )
    lines += converter.notes
    lines += [f"left out: {name}: {problem}" for name, problem in sorted(result.left_out.items())]
    return lines
