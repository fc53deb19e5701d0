"""What an import made, as a table."""

from rich.console import Console
from rich.table import Table

from hermes_nnunet.weights.importing import ImportResult


def print_import(result: ImportResult, console: Console) -> None:
    """Print the universal model, its views, and how to predict with them."""
    collection = result.identity.collection
    console.print(f"{result.network}, {len(collection.tasks)} tasks: {result.folder}", soft_wrap=True)
    if result.unused_rows:
        rows = ", ".join(map(str, result.unused_rows))
        console.print(f"Rows of the released task pool that belong to no task, left out: {rows}")
    trainer, plans, configuration = result.folder.name.split("__")
    if collection.members:
        table = Table("member", "data set", "modality", "tasks", "voxel order")
        for member in collection.members.values():
            order = result.voxel_orders[member.name]
            modalities = ", ".join(member.modalities)
            table.add_row(member.name, member.dataset_name, modalities, str(len(member.tasks)), order)
        console.print(table)
    for scores in result.scores:
        dice = ", ".join(f"{order} {value:.3f}" for order, value in scores.dice.items())
        console.print(f"{scores.member}, Dice by voxel order in {', '.join(scores.cases)}: {dice}", soft_wrap=True)
    for line in result.notices:
        console.print(line, soft_wrap=True)
    for line in result.views:
        if "left alone" in line:
            console.print(line, soft_wrap=True)
    example = next((member.dataset_name for member in collection.members.values()), result.folder.parent.name)
    console.print(
        f"Predict with: nnUNetv2_predict -d {example[7:10]} -tr {trainer} -p {plans} -c {configuration} -f 0 "
        f"-i IN -o OUT",
        soft_wrap=True,
    )
