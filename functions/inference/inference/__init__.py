"""The inference function, behind `POST /predict`.

It answers requests with predictions, and logs one record per sentence.
"""

import os

# By default, numpy starts a thread per processor for matrix products. This function computes no
# matrix products with numpy, so it does not need these threads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
