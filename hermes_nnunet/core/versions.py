"""Versions of the packages that decide what a training gives."""

from importlib import metadata

from hermes_nnunet.version import __version__

PACKAGES = ("nnunetv2", "torch", "dynamic-network-architectures", "batchgenerators", "batchgeneratorsv2", "numpy")


def package_versions() -> dict[str, str]:
    """hermes_nnunet's and those of PACKAGES that are installed, by name."""
    versions = {"hermes_nnunet": __version__}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
