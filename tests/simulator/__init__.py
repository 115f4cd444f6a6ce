"""A cloud on a loopback socket that keeps what it is asked for, and fails as it is told to: a test instrument.

It speaks the parts of Keystone, Glance, Nova, Neutron and Heat that provision calls. docs/simulator.md says how.
"""
