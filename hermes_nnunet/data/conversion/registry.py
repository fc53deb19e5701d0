"""The converters that are there: every module of the plug-in folder dataset_converters that has a CONVERTER."""

import pkgutil
from importlib import import_module

from hermes_nnunet.core.wording import did_you_mean
from hermes_nnunet.data.conversion.converter import Converter
from hermes_nnunet.errors import HermesError

PACKAGE = "nnunetv2.dataset_conversion.hermes"


def converter_names() -> list[str]:
    """Names of all converters.

    Raises:
        HermesError: nnU-Net does not see the plug-in.
    """
    try:
        package = import_module(PACKAGE)
    except ModuleNotFoundError:
        raise HermesError("nnU-Net does not see the converters: run 'hermes_nnunet doctor'") from None
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def find_converter(name: str) -> Converter:
    """The converter of this name.

    Raises:
        HermesError: there is none.
    """
    names = converter_names()
    if name not in names:
        raise HermesError(
            f"there is no converter '{name}'{did_you_mean(name, names)}: 'hermes_nnunet convert --list' shows them"
        )
    return import_module(f"{PACKAGE}.{name}").CONVERTER


def all_converters() -> list[Converter]:
    """Every converter, by name."""
    return [find_converter(name) for name in converter_names()]
