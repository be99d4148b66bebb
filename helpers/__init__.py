"""What the notebooks import: thin modules, one per noun."""
