"""What `kubectl kustomize` makes of deploy/kubernetes, for the few features that it uses; another one is an error here.

Names of config maps have no digest behind them, as they do in a cluster.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

Manifest = dict[str, Any]

_KNOWN: Final = {"apiVersion", "kind", "namespace", "resources", "configMapGenerator", "images", "patches"}


def render(folder: Path) -> list[Manifest]:
    """The manifests of a kustomization, in no particular order."""
    told = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(told) <= _KNOWN, folder
    manifests = [each for name in told.get("resources", ()) for each in _resource(folder / name)]
    for generator in told.get("configMapGenerator", ()):
        _generate(folder, generator, manifests)
    for patch in told.get("patches", ()):
        for change in yaml.safe_load_all((folder / patch["path"]).read_text()):
            (target,) = [each for each in manifests if _name(each) == _name(change)]
            _merge(target, change)
    for manifest in manifests:
        if "namespace" in told and manifest["kind"] != "Namespace":
            manifest["metadata"]["namespace"] = told["namespace"]
        for container in containers(manifest):
            _name_image(container, told.get("images", ()))
    return manifests


def pod(manifest: Manifest) -> Manifest | None:
    """The pod that a manifest has made, or None."""
    template: Manifest | None = manifest.get("spec", {}).get("template")
    return None if template is None else template["spec"]


def containers(manifest: Manifest) -> list[Manifest]:
    """The containers of the pod that a manifest has made."""
    spec = pod(manifest) or {}
    return [*spec.get("initContainers", ()), *spec.get("containers", ())]


def _resource(path: Path) -> list[Manifest]:
    return render(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))


def _generate(folder: Path, generator: Manifest, manifests: list[Manifest]) -> None:
    data = {name: (folder / name).read_text() for name in generator.get("files", ())}
    data |= dict(text.split("=", 1) for text in generator.get("literals", ()))
    if generator.get("behavior") == "merge":
        (target,) = [each for each in manifests if _name(each) == ("ConfigMap", generator["name"])]
        target["data"].update(data)
    else:
        manifests.append(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generator["name"]}, "data": data}
        )


def _name(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def _merge(target: Manifest, change: Manifest) -> None:
    for key, value in change.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = value


def _name_image(container: Manifest, images: list[Manifest]) -> None:
    name, _, tag = container["image"].partition(":")
    for image in images:
        if image["name"] == name:
            tag = image.get("newTag", tag)
            name = image.get("newName", name)
            container["image"] = f"{name}:{tag}" if tag else name
            return
