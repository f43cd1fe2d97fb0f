"""Benchmarks that regenerate every figure of an idea from raw logs, each with its rule: ``asteroid-nb bench``.

`arms` trains what figures compare, `sources` says on which data, `equilibrium` runs the figures of the equilibrium
force field. Finished work lies in a folder, so that a bench may be stopped and goes on where it was.
"""
