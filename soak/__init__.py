"""The soak test: events go through the shipper into a real OpenSearch while random faults happen.

`make soak` makes faults for a stated time. Afterwards every event must be in the index exactly
once, and memory, descriptors and threads of the functions must not have grown. A proxy between
shipper and OpenSearch makes some of the faults. The others are made by signals to the server's
process or by a setting of its indices.
"""
