"""The import graph of the library: floors, circles, modules and lines a package.

``python -m tests.repo.import_graph`` prints it for the working tree, ``... REF`` for a commit.
A room is a package of `sdnet_lib`, a module that lies beside them, or `data_scripts`; a room stands one floor
above the highest room that it imports from, and rooms that import each other form a circle.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import grimp
import networkx as nx

ROOT = Path(__file__).parents[2]
PACKAGES = ("sdnet_lib", "data_scripts")


def imports() -> nx.DiGraph:
    """Return which module imports which, imports inside functions included; sources lie on `sys.path`."""
    found = grimp.build_graph(*PACKAGES, cache_dir=None)
    graph = nx.DiGraph()
    graph.add_nodes_from(found.modules)
    for module in found.modules:
        graph.add_edges_from((module, other) for other in found.find_modules_directly_imported_by(module))
    return graph


def room(module: str) -> str:
    """Return the room of a module, such as ``data`` for ``sdnet_lib.data.images``."""
    package, *parts = module.split(".")
    return parts[0] if package == "sdnet_lib" and parts else package


def rooms(modules: nx.DiGraph) -> nx.DiGraph:
    """Return which room imports from which; `sdnet_lib` itself holds nothing but the version."""
    graph = nx.quotient_graph(modules, lambda one, two: room(one) == room(two), create_using=nx.DiGraph)
    named = nx.relabel_nodes(graph, {block: room(next(iter(block))) for block in graph})
    named.remove_nodes_from([name for name in named if name == "sdnet_lib"])
    return named


def circles(graph: nx.DiGraph) -> list[list[str]]:
    """Return the groups of nodes that import each other, in whatever roundabout way."""
    return sorted(sorted(group) for group in nx.strongly_connected_components(graph) if len(group) > 1)


def floors(graph: nx.DiGraph) -> dict[str, int]:
    """Return the floor of each node, from 1; those of a circle share one."""
    whole = nx.condensation(graph)
    height: dict[int, int] = {}
    for block in reversed(list(nx.topological_sort(whole))):
        height[block] = 1 + max((height[below] for below in whole.successors(block)), default=0)
    return {name: height[block] for name, block in whole.graph["mapping"].items()}


def lines(root: Path) -> dict[str, tuple[int, int, int]]:
    """Return for each room its modules, its lines, and the lines of its longest module."""
    found: dict[str, list[int]] = {}
    for package in PACKAGES:
        for file in (root / package).rglob("*.py"):
            module = ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            found.setdefault(room(module), []).append(len(file.read_text().splitlines()))
    return {name: (len(counts), sum(counts), max(counts)) for name, counts in found.items()}


def report(root: Path) -> str:
    """Return the graph as text, the top floor first."""
    modules = imports()
    graph = rooms(modules)
    height, sizes = floors(graph), lines(root)
    text = [f"{'floor':>5}  {'room':16}{'modules':>8}{'lines':>8}{'longest':>9}"]
    for name in sorted(graph, key=lambda name: (-height[name], name)):
        count, total, longest = sizes[name]
        text.append(f"{height[name]:5}  {name:16}{count:8}{total:8,}{longest:9}")
    text += [
        f"{max(height.values())} floors of rooms, {max(floors(modules).values())} of modules; "
        f"{len(circles(modules))} circles of modules, {len(circles(graph))} of rooms; "
        f"{sum(count for count, *_ in sizes.values())} modules, "
        f"{sum(total for _, total, _ in sizes.values()):,} lines",
        *(f"circle: {', '.join(group)}" for group in circles(modules)),
    ]
    return "\n".join(text)


def main(arguments: list[str]) -> None:
    """Print the report of the working tree, or of the commit that is named."""
    if not arguments:
        sys.path.insert(0, str(ROOT))
        print(report(ROOT))
        return
    command = ["git", "-C", str(ROOT), "archive", arguments[0], *PACKAGES]
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(command, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            packed.extractall(folder, filter="data")
        sys.path.insert(0, folder)
        print(report(Path(folder)))


if __name__ == "__main__":
    main(sys.argv[1:])
