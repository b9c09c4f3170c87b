"""The work behind the drawings: one package for each machine, of the same name."""
