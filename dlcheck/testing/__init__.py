"""Holds a project's own loaders to what they must do: the fixture ``loader_probe`` of the pytest plugin."""
