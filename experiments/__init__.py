"""Experiments: flags -> preset -> Task -> run. `common` is what they share."""
