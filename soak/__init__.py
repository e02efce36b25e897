"""The soak: traffic with random faults through the shipper into a real OpenSearch.

`make soak` plays faults for a stated time, and then counts: every event must be in the index
exactly once, and the shipper's memory, descriptors and threads must not grow. A proxy between the
shipper and OpenSearch makes some of the faults; the others are made to the server's process.
"""
