"""Computes the monthly cost of the stack in three sizes, from a file with prices and sources.

The price calculator of AWS and tools such as Infracost need an account and a network. `make cost`
works offline, because its prices are in a file. Tests compare the quantities, such as the number of
alarms, with template.yaml. If a change of the template changes the cost, a test fails.
"""
