"""What pyproject.toml cannot say: which of our packages are installed inside nnU-Net's."""

import runpy
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

points = runpy.run_path(str(Path(__file__).parent / "hermes_nnunet" / "plugin" / "points.py"))["PLUGIN_POINTS"]
folders = {point.package: point.folder for point in points}
own_packages = [
    package
    for package in find_packages(include=["hermes_nnunet", "hermes_nnunet.*"])
    if package.replace(".", "/") not in folders.values()
]


class BuildPy(build_py):
    """Starts from nothing: pip builds in the checkout, and a module deleted since then must not be installed again."""

    def run(self) -> None:
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()


class EditableWheel(editable_wheel):
    """An editable install holds hermes_nnunet only: an `nnunetv2` of ours beside an editable nnU-Net would hide it.

    `hermes_nnunet link` then puts the other packages where nnU-Net looks for them.
    """

    def finalize_options(self) -> None:
        self.distribution.packages = own_packages
        self.distribution.package_dir = {}
        super().finalize_options()


setup(
    packages=[*own_packages, *folders],
    package_dir=folders,
    cmdclass={"build_py": BuildPy, "editable_wheel": EditableWheel},
)
