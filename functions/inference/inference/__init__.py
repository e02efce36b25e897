"""The inference function, behind `POST /predict`.

It answers requests with predictions, and logs one record per sentence.
"""

import os

# Without this, numpy would start a thread per processor for matrix products. Nothing here computes
# matrix products with numpy.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
