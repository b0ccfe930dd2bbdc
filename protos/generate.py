"""Generate the Python stubs and the gateway's descriptor set from the protos.

Writes `gen/python` (messages, gRPC stubs and their types, the package `dmp-protos`) and `gen/dmp.binpb` (all files
with their imports, for the gateway's transcoder), after `buf lint` has found nothing and `buf breaking` has found that
callers of the last release are still understood. Writes the tables from RPCs and paths to scopes, too, into the
gateway's Lua filters that ask for keys. With `--check` it writes nothing and fails if what is checked in differs from
what the protos give. With `--release` it writes nothing but `released.binpb`: from then on changes are held against
what is checked in now.
"""

from __future__ import annotations

import argparse
import filecmp
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

ROOT = Path(__file__).resolve().parent
GENERATED = ROOT / "gen"
RELEASED = ROOT / "released.binpb"
"""The descriptor set of the last release: what callers out there were built with."""
ERROR_DETAILS = "google/rpc/error_details.proto"
"""No proto of ours imports it, but the gateway prints what errors carry in it."""
FILTERS = (ROOT.parent / "gateway" / "authenticate.lua", ROOT.parent / "gateway" / "authorize.lua")
"""The gateway's filters that have tables made from the protos, `RPCS` and `PATHS`."""
_GATEWAY = 1  # dmp.access.v1.CALLER_GATEWAY
SCRIPTS = Path(sysconfig.get_path("scripts"))
SITE_PACKAGES = Path(sysconfig.get_path("purelib"))


def generate(target: Path) -> None:
    """Generate everything below `target`, which must not exist. Raises CalledProcessError if a file is refused."""
    python = target / "python"
    python.mkdir(parents=True)
    protos = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "dmp").rglob("*.proto"))
    command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={ROOT}", f"--proto_path={SITE_PACKAGES}"]
    plugins = [f"--plugin=protoc-gen-{name}={SCRIPTS / f'protoc-gen-{name}'}" for name in ("mypy", "mypy_grpc")]
    outputs = [f"--python_out={python}", f"--grpc_python_out={python}", f"--mypy_out=quiet:{python}"]
    asynchronous = f"--mypy_grpc_out=quiet:{python}"
    subprocess.run([*command, *plugins, *outputs, asynchronous, *protos], check=True, cwd=ROOT)
    descriptors = ["--include_imports", f"--descriptor_set_out={target / 'dmp.binpb'}"]
    subprocess.run([*command, *descriptors, *protos, ERROR_DETAILS], check=True, cwd=ROOT)
    image = target / "lint.binpb"
    subprocess.run(
        [*command, "--include_imports", "--include_source_info", f"--descriptor_set_out={image}", *protos],
        check=True,
        cwd=ROOT,
    )
    subprocess.run([SCRIPTS / "buf", "lint", image, "--config", ROOT.parent / "buf.yaml"], check=True)
    image.unlink()
    packages = {python / "dmp", *(path.parent for path in python.rglob("*.py"))}
    for package in sorted(
        {parent for path in packages for parent in (path, *path.parents) if python in parent.parents}
    ):
        (package / "__init__.py").touch()
    (python / "dmp" / "py.typed").touch()


def check_compatible(descriptors: Path, released: Path = RELEASED) -> None:
    """Raises CalledProcessError, after it was said why, if callers of the released descriptor set are not understood.

    A field may be added, and may be renamed only where JSON does not see it; a number is never used again, and no RPC
    goes away. The rules are in buf.yaml.
    """
    options = ["--exclude-imports", f"--config={ROOT.parent / 'buf.yaml'}"]
    subprocess.run([SCRIPTS / "buf", "breaking", descriptors, "--against", released, *options], check=True)


class UnscopedRpcError(Exception):
    """An RPC does not say which scope it needs, or which services it believes."""


def scopes(descriptors: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The scope of each RPC by its full path, and of each method and path in JSON (`GET /users/*`).

    An RPC between services has none: nobody can have it. Raises UnscopedRpcError if the proto of an RPC names none, or
    does not name the services that may call it: the gateway for what has a scope, others for the rest.
    """
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptors.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    options_class = message_factory.GetMessageClass(pool.FindMessageTypeByName("google.protobuf.MethodOptions"))
    scope: Any = pool.FindExtensionByName("dmp.access.v1.scope")
    http: Any = pool.FindExtensionByName("google.api.http")
    callers: Any = pool.FindExtensionByName("dmp.access.v1.callers")
    names = {value.number: value.name.removeprefix("SCOPE_").lower() for value in scope.enum_type.values}
    rpcs: dict[str, str] = {}
    paths: dict[str, str] = {}
    for file in files.file:
        for service in file.service:
            for method in service.method:
                rpc = f"/{file.package}.{service.name}/{method.name}"
                options: Any = options_class.FromString(method.options.SerializeToString())
                name = names[options.Extensions[scope]]
                if name == "unspecified":
                    raise UnscopedRpcError(f"{rpc} has no option (dmp.access.v1.scope): who may call it?")
                _check_callers(rpc, options.Extensions[callers], inside=name == "internal")
                if name == "internal":
                    continue
                rpcs[rpc] = name
                rule = options.Extensions[http]
                for binding in (rule, *rule.additional_bindings):
                    verb = binding.WhichOneof("pattern")
                    if verb is not None:
                        template = re.sub(r"\{[^}]*\}", "*", getattr(binding, verb))
                        paths[f"{verb.upper()} {template}"] = name
    return rpcs, paths


def _check_callers(rpc: str, callers: Sequence[int], *, inside: bool) -> None:
    if not callers or 0 in callers:
        raise UnscopedRpcError(f"{rpc} has no option (dmp.access.v1.callers): which services may call it?")
    if (_GATEWAY in callers) == inside:
        raise UnscopedRpcError(f"{rpc}: the gateway calls what has a scope for keys, and nothing else")


def stale_filters(descriptors: Path) -> Iterator[tuple[Path, str]]:
    """The gateway's filters whose tables are not those of the protos, with the text that they should have."""
    for path in FILTERS:
        text = wanted = path.read_text()
        for name, table in zip(("RPCS", "PATHS"), scopes(descriptors), strict=True):
            lines = "".join(f'  ["{key}"] = "{table[key]}",\n' for key in sorted(table))
            made = f"local {name} = {{\n{lines}}}\n"
            wanted = re.sub(rf"^local {name} = {{\n.*?^}}\n", made, wanted, flags=re.MULTILINE | re.DOTALL)
        if wanted != text:
            yield path, wanted


def files_below(folder: Path) -> set[Path]:
    """All generated files below a folder, relative to it."""
    return {
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and not any(part.endswith(".egg-info") for part in path.parts)
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="fail if the checked-in stubs differ from what the protos give"
    )
    parser.add_argument("--release", action="store_true", help="hold later changes against what is checked in now")
    options = parser.parse_args()
    check = options.check
    if options.release:
        shutil.copyfile(GENERATED / "dmp.binpb", RELEASED)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch) / "gen"
        generate(fresh)
        check_compatible(fresh / "dmp.binpb")
        filters = list(stale_filters(fresh / "dmp.binpb"))
        if not check:
            for path, text in filters:
                path.write_text(text)
            shutil.rmtree(GENERATED / "python" / "dmp", ignore_errors=True)
            shutil.copytree(fresh, GENERATED, dirs_exist_ok=True)
            return 0
        names = files_below(fresh) | files_below(GENERATED)
        stale = sorted(
            str(name)
            for name in names
            if not (
                (fresh / name).exists()
                and (GENERATED / name).exists()
                and filecmp.cmp(fresh / name, GENERATED / name, shallow=False)
            )
        )
    stale += [path.name for path, _ in filters]
    for name in stale:
        print(f"stale: {name}", file=sys.stderr)
    if stale:
        print("The stubs differ from the protos: run `make protos` and commit the result.", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
