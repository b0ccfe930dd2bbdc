"""Kinds of import contract that import-linter lacks; `pyproject.toml` says which packages they hold for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import cast

import grimp
from importlinter import Contract, ContractCheck, fields, output
from importlinter.contracts.layers import Layer, LayersContract, ModuleTail

USE_CASES = "<use cases>"


class ServiceLayersContract(LayersContract):
    """Layers in which `<use cases>` stands for every module at a package's root that no other layer names.

    So a new use case needs no line here, and nothing at the root escapes the rule. Use cases may import each other.
    """

    type_name = "service_layers"

    def check(self, graph: grimp.ImportGraph, verbose: bool) -> ContractCheck:
        layers = cast(Sequence[Layer], self.layers)
        named = {tail.name for layer in layers for tail in layer.module_tails}
        containers = [str(expression) for expression in cast(Sequence[object], self.containers)]
        at_root = {child.rpartition(".")[2] for container in containers for child in graph.find_children(container)}
        use_cases = {ModuleTail(name, is_optional=True) for name in at_root - named}
        self.layers = [  # type: ignore[assignment]  # declared as a field, set to the field's value
            Layer(use_cases, is_independent=False) if layer.module_tails == {ModuleTail(USE_CASES)} else layer
            for layer in layers
        ]
        return super().check(graph, verbose)


class OnlyImportsContract(Contract):
    """The modules below `sources` import only each other, the standard library and what `allowed` names: packages, or
    single modules of one."""

    type_name = "only_imports"

    sources = fields.ListField(subfield=fields.StringField())
    allowed = fields.ListField(subfield=fields.StringField())

    def check(self, graph: grimp.ImportGraph, verbose: bool) -> ContractCheck:
        roots = (*cast(Sequence[str], self.allowed), *sys.stdlib_module_names)
        prefixes = tuple(f"{root}." for root in roots)
        offences = [
            (importer, imported)
            for source in cast(Sequence[str], self.sources)
            for importer in sorted({source, *graph.find_descendants(source)})
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if not f"{imported}.".startswith((*prefixes, f"{source}."))
        ]
        return ContractCheck(kept=not offences, metadata={"offences": offences})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for importer, imported in check.metadata["offences"]:
            output.print_error(f"{importer} is not allowed to import {imported}", bold=False)
