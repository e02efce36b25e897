"""The stack's monthly cost: prices with their sources, three sizes, and the arithmetic.

AWS's price calculator and tools such as Infracost need an account and a network. Here the prices
are a file with dates and sources, and the tests hold the quantities against template.yaml, so that
`make cost` works offline and a change of the template shows.
"""
