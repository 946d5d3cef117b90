"""Maps the top folders to subpackages of the one import name `autapse`; pyproject.toml has the rest."""

from setuptools import find_packages, setup

FOLDERS = ("hw", "gateware", "boards", "sw_driver", "verification")

# Computed, for an explicit list forgets a new folder: it would import here and be missing from the wheel.
packages = ["autapse", *(f"autapse.{name}" for name in find_packages("autapse"))]
for folder in FOLDERS:
    packages += [f"autapse.{folder}", *(f"autapse.{folder}.{name}" for name in find_packages(folder))]

setup(
    packages=packages,
    package_dir={"autapse": "autapse", **{f"autapse.{folder}": folder for folder in FOLDERS}},
    package_data={"": ["py.typed", "*.cpp", "*.h", "*.json"]},
)
