"""What the figures look like: one module per chapter, one public function a figure.

A drawing takes values that its notebook has computed, and returns the figure; it
computes no result of its own. Caption and alternative text stay with the notebook,
which hands the figure to `figures.show`. Shapes that recur stand in `helpers.figures`.
"""
