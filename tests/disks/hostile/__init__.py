"""Broken and malicious disk files, each made on the spot."""
