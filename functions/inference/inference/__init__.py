"""The inference function, behind `POST /predict`.

It answers requests with predictions, and logs one record per sentence.
"""

import os

# numpy would start a thread per processor for matrix products, but nothing here computes any.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
