"""The soak test: events go through the shipper into a real OpenSearch while random faults happen.

`make soak` makes faults for a stated time. Afterwards every event must be in the index exactly
once, and memory, descriptors and threads of the functions must not have grown. A fault is made in
one of three ways: by a proxy between shipper and OpenSearch, by a signal to OpenSearch's process,
or by a setting of OpenSearch's indices.
"""
