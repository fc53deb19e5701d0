"""What extending a model, and adding to one, tell on the screen."""

from rich.console import Console

from hermes_nnunet.data.merge.report import summary_table
from hermes_nnunet.weights.additions.adding import AddResult
from hermes_nnunet.weights.additions.extending import ExtendResult


def print_extension(result: ExtendResult, configuration: str, console: Console) -> None:
    """Print the new collection, its base, and the commands that come next."""
    console.print(summary_table(result.merged))
    collection = result.merged.folder.name
    known = ", ".join(result.new_modalities)
    number, plans = int(collection[7:10]), result.plans.stem
    lines = [f"base: {result.base.where}" + (f"; it does not know {known}" if known else "")]
    lines += list(result.merged.notes)
    if result.merged.dry_run:
        lines.append("nothing was written (--dry-run)")
    else:
        lines += [
            f"plans: {result.plans}",
            f"next: nnUNetv2_preprocess -d {number} -plans_name {plans} -c {configuration}",
            f"then: nnUNetv2_train {number} {configuration} 0 -tr HermesTrainerAddition -p {plans}",
        ]
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def print_addition(result: AddResult, console: Console) -> None:
    """Print the model, what it has now, and its views."""
    names = ", ".join(result.additions) or "no additions"
    for line in (f"{result.folder}, fold {', '.join(result.folds)}: {names}", *result.notices, *result.views):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
