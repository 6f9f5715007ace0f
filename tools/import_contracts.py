"""A contract for import-linter that may name packages before they exist.

A package's import rules stand in `pyproject.toml` from the first day, and its folder comes
with its first file. import-linter's own "forbidden" contract refuses to name a module that is
not there; this one leaves it out until it is.
"""

from grimp import ImportGraph
from importlinter import ContractCheck
from importlinter.contracts.forbidden import ForbiddenContract


class ForbiddenWherePresent(ForbiddenContract):
    """`forbidden`, with the modules of this project that do not exist yet left out."""

    type_name = "forbidden_where_present"

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Check the contract over those of its modules that are in the graph."""
        present = ForbiddenContract(
            name=self.name,
            session_options=self.session_options,
            contract_options={
                option: self._present(graph, value) if option.endswith("_modules") else value
                for option, value in self.contract_options.items()
            },
        )
        return present.check(graph, verbose)

    def _present(self, graph: ImportGraph, names: list[str]) -> list[str]:
        roots = tuple(f"{root}." for root in self.session_options["root_packages"])
        return [
            name
            for name in names
            if "*" in name or not name.startswith(roots) or name in graph.modules
        ]
