"""Signing in with the university's own account: OpenID Connect, and LTI 1.3 from its learning environment."""
