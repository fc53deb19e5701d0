"""The paper's lists of training, validation and test cases, a file a data set in hermes_nnunet/core/paper/splits."""

from dataclasses import dataclass
from pathlib import Path

from hermes_nnunet.core.files import read_json
from hermes_nnunet.schema import Text, versioned

FORMAT_VERSION = 1
LISTS_FOLDER = Path(__file__).parent / "splits"


@dataclass(frozen=True)
class CaseLists:
    """Names of the cases (or patients) that the paper trained on, chose the model by, and tested on."""

    train: tuple[Text, ...]
    val: tuple[Text, ...]
    test: tuple[Text, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All names of the three lists."""
        return (*self.train, *self.val, *self.test)


def paper_case_lists(member: str) -> CaseLists:
    """The lists of a member of the paper.

    Raises:
        HermesError: the file is missing or of another format.
    """
    path = LISTS_FOLDER / f"{member}.json"
    remedy = "install hermes_nnunet again"
    return versioned(CaseLists, read_json(path, remedy), FORMAT_VERSION, str(path), remedy)
