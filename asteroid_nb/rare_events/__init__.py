"""What it takes for a language model to see slow motion: experiments with rules that are passed or failed.

`arms` trains one model on one choice of states, `four_wells` holds the choices on the system with exact kinetics,
`torsions` those on molecular dynamics, `figures` turns finished arms into tables and rules, `grid` runs them all for
``asteroid-nb states``.
"""
