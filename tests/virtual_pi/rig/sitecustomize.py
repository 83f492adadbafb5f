"""What the rig adds to each Python program in the virtual machine: the shim, as soon as somebody imports picamera2."""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


class _PicameraFinder(MetaPathFinder):
    """Finds picamera2 where it is, and fits it to the virtual camera once it is imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname == "picamera2" else None
        if spec is not None and spec.loader is not None:
            spec.loader = _FittingLoader(spec.loader)
        return spec


class _FittingLoader(Loader):
    """Loads as the real loader does, and then installs the shim."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        importlib.import_module("mirrorcam_rig.shim").install()


sys.meta_path.insert(0, _PicameraFinder())
