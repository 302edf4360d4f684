"""Lists the models that have names, and which of them are there: `--mode=models`."""

from rich.console import Console

from experiments.common.terminal import Table
from hrm_jax.convert import catalogue


def run(console: Console) -> int:
    """Prints the table; returns the exit code."""
    table = Table(title="models by name, the best first")
    table.add_column("model")
    table.add_column("there")
    table.add_column("MB", justify="right")
    table.add_column("good for")
    table.add_column("context", justify="right")
    table.add_column("licence")
    for name, published in catalogue.MODELS.items():
        table.add_row(
            name,
            "yes" if catalogue.find(name) else "no",
            f"{published.size / 1e6:.0f}",
            published.good_for,
            str(published.context),
            published.licence,
        )
    console.print(table)
    console.print(f"in {catalogue.models_folder()}; --model=NAME fetches one", soft_wrap=True)
    return 0
