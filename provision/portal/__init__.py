"""The launch page: it reads and asks workflows, and owns no logic."""
