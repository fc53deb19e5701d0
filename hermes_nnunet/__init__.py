"""One universal segmentation network for many partially labelled medical data sets, as a plug-in of nnU-Net v2."""

from typing import TYPE_CHECKING, Any

from hermes_nnunet.version import __version__

if TYPE_CHECKING:
    from hermes_nnunet.model import HermesModel

__all__ = ["HermesModel", "__version__"]


def __getattr__(name: str) -> Any:
    # Importing the package alone must not load torch.
    if name == "HermesModel":
        from hermes_nnunet.model import HermesModel

        return HermesModel
    msg = f"module 'hermes_nnunet' has no attribute '{name}'"
    raise AttributeError(msg)
