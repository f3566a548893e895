"""One cell's deploy and e2e in a process of its own, as pytest's workers do it: ``worker RUN CELL CLUSTER``."""

from __future__ import annotations

import sys
from dataclasses import replace

from pytest_crosscloud import config, matrix, paths, plugins
from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.run import context
from pytest_crosscloud.run.stages import Engine
from pytest_crosscloud.run.store import open_store

from .local import CLOUD, PROJECT, REF


def main(run: str, cell: str, cluster: str) -> None:
    """Deploy the run's cell under the id ``cell`` on its cluster ``cluster``; what became of it is in the store."""
    root = paths.data()
    declared = plugins.load(root)
    configured = config.load(None, declared, root)
    chosen = matrix.select(configured, clouds=CLOUD, projects=PROJECT, refs=REF)
    engine = Engine(context.open_run(open_store(), run, declared, configured, chosen))
    (found,) = chosen.cells
    try:
        engine.e2e(replace(found, cluster=replace(found.cluster, id=cluster), id=cell))
    except CrosscloudError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
